//! Duplicate address detection, from the flags of an address.

/// How far the kernel's duplicate address detection of an address is; always done for IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dad {
    /// Complete without a duplicate, or not done at all.
    Done,
    /// Running, and the address may not be used before the end (RFC 4862 §5.4).
    Tentative,
    /// Running, and the address may be used already (RFC 4429).
    Optimistic,
    /// Another station has the address.
    Failed,
}

impl Dad {
    pub(super) const fn of(flags: u32) -> Self {
        if flags & libc::IFA_F_DADFAILED != 0 {
            Self::Failed
        } else if flags & libc::IFA_F_OPTIMISTIC != 0 {
            Self::Optimistic
        } else if flags & libc::IFA_F_TENTATIVE != 0 {
            Self::Tentative
        } else {
            Self::Done
        }
    }
}
