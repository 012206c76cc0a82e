//! The netns of a socket, by which the programs distinguish a container from the host.

use std::{io, os::fd::AsRawFd as _};

use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};
use tracing::debug;

/// Returns the cookie of the netns of this thread: a number that no other netns has until the next boot.
///
/// # Errors
///
/// `ENOPROTOOPT` before Linux 5.14.
pub fn cookie() -> io::Result<u64> {
    let any = socket(
        AddressFamily::Unix,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut cookie = 0_u64;
    let mut len = libc::socklen_t::try_from(size_of_val(&cookie)).unwrap_or_default();
    // SAFETY: `len` bytes are writable there, which are those of an integer.
    let result = unsafe {
        libc::getsockopt(
            any.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut len,
        )
    };
    Errno::result(result)?;
    Ok(cookie)
}

/// Returns whether a TC program may ask for the netns of the socket that sent a packet: `bpf_get_netns_cookie`,
/// from Linux 6.15 on.
#[must_use]
pub fn knows_netns_of_sockets() -> bool {
    let helper = BpfHelper::BPF_FUNC_get_netns_cookie;
    is_helper_supported(ProgramType::SchedClassifier, helper).unwrap_or_else(|error| {
        debug!(%error, "cannot probe for bpf_get_netns_cookie");
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_the_same_each_time_and_not_zero() {
        let first = cookie().unwrap();
        assert_ne!(first, 0);
        assert_eq!(cookie().unwrap(), first);
    }
}
