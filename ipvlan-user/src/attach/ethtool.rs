//! Features of an interface, as `ethtool -k` shows them.

use std::{
    ffi::{CStr, c_char},
    io,
    os::fd::AsRawFd as _,
};

use nix::{
    errno::Errno,
    net::if_::if_indextoname,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

/// Commands and sizes of `linux/ethtool.h`.
const GET_STRINGS: u32 = 0x1b;
const GET_STRING_SET_INFO: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
/// `ETH_SS_FEATURES`
const FEATURES: u32 = 4;
/// `ETH_GSTRING_LEN`
const STRING: usize = 32;
/// `available`, `requested`, `active`, `never_changed` of `struct ethtool_get_features_block`.
const BLOCK: usize = 4;
const ACTIVE: usize = 2;

/// The features of an interface at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    names: Vec<String>,
    active: Vec<u32>,
}

impl Features {
    /// Reads the features of the interface with this index, in the netns of this thread.
    ///
    /// # Errors
    ///
    /// `ENXIO` or `ENODEV` if there is none, and whatever else the kernel returns.
    pub fn read(ifindex: u32) -> io::Result<Self> {
        // The number of strings in the set is behind its mask, if the kernel knows the set.
        let mut info = [GET_STRING_SET_INFO, 0, 1 << FEATURES, 0, 0];
        exchange(ifindex, &mut info)?;
        let count = info[4] as usize;
        let mut strings = vec![0; 3 + count * STRING / size_of::<u32>()];
        strings[..2].copy_from_slice(&[GET_STRINGS, FEATURES]);
        strings[2] = info[4];
        exchange(ifindex, &mut strings)?;
        let bytes: Vec<u8> = strings[3..]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        let names = bytes.chunks(STRING).map(|name| {
            let name = CStr::from_bytes_until_nul(name).unwrap_or_default();
            name.to_string_lossy().into_owned()
        });
        let blocks = count.div_ceil(u32::BITS as usize);
        let mut features = vec![0; 2 + blocks * BLOCK];
        features[0] = GET_FEATURES;
        features[1] = u32::try_from(blocks).unwrap_or_default();
        exchange(ifindex, &mut features)?;
        Ok(Self {
            names: names.collect(),
            active: features[2..]
                .chunks(BLOCK)
                .map(|block| block[ACTIVE])
                .collect(),
        })
    }

    /// Returns the place of a feature in the bits of its block, and that of its block.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<(usize, u32)> {
        let index = self.names.iter().position(|known| known == name)?;
        let bits = u32::BITS as usize;
        Some((index / bits, 1 << (index % bits)))
    }

    /// Returns whether a feature is active.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.place(name)
            .is_some_and(|(block, bit)| self.active.get(block).is_some_and(|bits| bits & bit != 0))
    }

    /// Returns how many blocks there are, of 32 features each.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.active.len()
    }
}

/// Exchanges one request with the kernel (`SIOCETHTOOL`): its first word is the command, and its length is
/// what that command reads and writes.
///
/// # Errors
///
/// Whatever the kernel returns.
pub fn exchange(ifindex: u32, request: &mut [u32]) -> io::Result<()> {
    let any = socket(
        AddressFamily::Unix,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let name = if_indextoname(ifindex)?;
    let mut interface = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_data: request.as_mut_ptr().cast(),
        },
    };
    for (to, &from) in interface.ifr_name.iter_mut().zip(name.to_bytes_with_nul()) {
        *to = c_char::from_ne_bytes([from]);
    }
    // SAFETY: the kernel reads and writes the structure, which ends with its name, and as much of the request as
    // the command is long; both outlive the call.
    let result = unsafe { libc::ioctl(any.as_raw_fd(), libc::SIOCETHTOOL, &raw mut interface) };
    Errno::result(result)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_features_that_are_always_on_and_none_that_is_unknown() {
        let features = Features::read(1).unwrap();
        assert!(features.has("loopback"), "{features:?}");
        assert!(!features.has("rx-vlan-hw-parse"));
        assert!(!features.has("no-such-feature"));
        assert!(features.blocks() > 0);
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        assert!(Features::read(u32::MAX / 2).is_err());
    }
}
