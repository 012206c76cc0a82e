//! The maps the loader fills, behind typed getters. Reads only.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap},
};
use ipvlan_common::{AddressEntry, Config, ConfigFlags};

/// Entries of an address map unless the loader asks for another number.
const DEFAULT_ADDRESSES: u32 = 16_384;

#[map]
static ADDRESSES_V4: HashMap<[u8; 4], AddressEntry> =
    HashMap::with_max_entries(DEFAULT_ADDRESSES, 0);

#[map]
static CONFIG: Array<Config> = Array::with_max_entries(Config::COPIES, 0);

/// What is known about addresses.
pub trait Addresses {
    /// The entry of this IPv4 address (network byte order).
    fn get(&self, address: [u8; 4]) -> Option<AddressEntry>;
}

/// The address map in the kernel.
pub struct AddressMap;

impl Addresses for AddressMap {
    #[inline(always)]
    fn get(&self, address: [u8; 4]) -> Option<AddressEntry> {
        // SAFETY: the entry is copied out at once. The map is preallocated, so an entry deleted
        // meanwhile may be reused for another address: at worst this one frame is decided by the
        // entry of an address that came the very moment this one went.
        unsafe { ADDRESSES_V4.get(address) }.copied()
    }
}

/// The parent's configuration; `None` until the first sync is complete, and while it is changing.
#[must_use]
#[inline(always)]
pub fn config() -> Option<Config> {
    // Last to first, against the loader's first to last: a half-written copy differs from the other.
    let second = *CONFIG.get(1)?;
    let first = *CONFIG.get(0)?;
    (first == second && first.has(ConfigFlags::READY)).then_some(first)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Addresses of a test, in place of the map.
    pub(crate) struct Table<'a>(pub(crate) &'a [([u8; 4], AddressEntry)]);

    impl Addresses for Table<'_> {
        fn get(&self, address: [u8; 4]) -> Option<AddressEntry> {
            let found = self.0.iter().find(|(key, _)| *key == address);
            found.map(|(_, entry)| *entry)
        }
    }
}
