//! The kernel's own duplicate address detection (RFC 4862 §5.4).

use std::{fs, net::Ipv6Addr};

use anyhow::{Context as _, Result, bail};

/// What the kernel has found out about an IPv6 address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// Nothing yet.
    Tentative,
    /// Somebody else has it.
    Failed,
    /// It may be used.
    Passed,
}

/// What the kernel has found out about `address` of the current netns, if it is there.
pub fn detection(address: Ipv6Addr) -> Result<Option<Detection>> {
    let all = detections()?;
    let found = all.into_iter().find(|(known, _)| *known == address);
    Ok(found.map(|(_, detection)| detection))
}

/// The same of every IPv6 address of the current netns.
pub fn detections() -> Result<Vec<(Ipv6Addr, Detection)>> {
    let path = "/proc/thread-self/net/if_inet6";
    let shown = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    shown
        .lines()
        .map(|line| {
            // Address, index, prefix length, scope, flags, device; numbers in hexadecimal.
            let words: Vec<_> = line.split_whitespace().collect();
            let [address, _, _, _, flags, _] = words[..] else {
                bail!("unknown line in {path}: {line}")
            };
            let address = u128::from_str_radix(address, 16)?.into();
            let flags = u32::from_str_radix(flags, 16)?;
            let detection = if flags & libc::IFA_F_DADFAILED != 0 {
                Detection::Failed
            } else if flags & libc::IFA_F_TENTATIVE != 0 {
                Detection::Tentative
            } else {
                Detection::Passed
            };
            Ok((address, detection))
        })
        .collect()
}
