//! The maps the loader fills, behind typed getters. Reads only.

use aya_ebpf::helpers::generated::bpf_jiffies64;
use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap},
};
use ipvlan_common::{
    AddressEntry, Config, ConfigFlags, Control, Reason,
    index::{
        ADDRESS, FIRST, INDEX_V4_SLOTS, INDEX_V6_SLOTS, STATE, SlotV4, SlotV6, asks_map, index_v4,
        index_v6, is_about_v4,
    },
};

use crate::frame::Ip6;

/// Entries of an address map unless the loader asks for another number.
const DEFAULT_ADDRESSES: u32 = 16_384;

#[map]
static ADDRESSES_V4: HashMap<[u8; 4], AddressEntry> =
    HashMap::with_max_entries(DEFAULT_ADDRESSES, 0);

#[map]
static ADDRESSES_V6: HashMap<Ip6, AddressEntry> = HashMap::with_max_entries(DEFAULT_ADDRESSES, 0);

#[map]
static INDEX_V4: Array<SlotV4> = Array::with_max_entries(INDEX_V4_SLOTS, BPF_F_MMAPABLE);

#[map]
static INDEX_V6: Array<SlotV6> = Array::with_max_entries(INDEX_V6_SLOTS, BPF_F_MMAPABLE);

#[map]
static CONFIG: Array<Control> = Array::with_max_entries(1, 0);

/// What is known about the addresses of one family.
pub trait Addresses<A> {
    /// The entry of this address (network byte order).
    fn get(&self, address: A) -> Option<AddressEntry>;
}

/// The address maps in the kernel, behind their indexes.
pub struct AddressMap;

// An entry is copied out at once. The maps are preallocated, so an entry deleted meanwhile may be reused
// for another address: at worst this one frame is decided by the entry of an address that came the very
// moment this one went. The same holds of a slot of an index.

impl Addresses<[u8; 4]> for AddressMap {
    #[inline(always)]
    fn get(&self, address: [u8; 4]) -> Option<AddressEntry> {
        if let Some(slot) = INDEX_V4.get_ptr(index_v4(address)) {
            // SAFETY: the value of an array, which is never freed.
            let state = unsafe { word(slot.cast(), STATE) };
            if !asks_map(state) {
                if !is_about_v4(state, address) {
                    return None;
                }
                // SAFETY: as above.
                return Some(unsafe { entry(slot.cast(), state) });
            }
        }
        // SAFETY: copied at once, see above.
        unsafe { ADDRESSES_V4.get(address) }.copied()
    }
}

impl Addresses<Ip6> for AddressMap {
    #[inline(always)]
    fn get(&self, address: Ip6) -> Option<AddressEntry> {
        let halves = address.halves();
        if let Some(slot) = INDEX_V6.get_ptr(index_v6(halves)) {
            // SAFETY: the value of an array, which is never freed.
            let state = unsafe { word(slot.cast(), STATE) };
            if !asks_map(state) {
                // SAFETY: as above.
                let [a, b] =
                    unsafe { [word(slot.cast(), ADDRESS), word(slot.cast(), ADDRESS + 1)] };
                // One branch for both: the verifier follows each.
                if (a ^ halves[0]) | (b ^ halves[1]) != 0 {
                    return None;
                }
                // SAFETY: as above.
                return Some(unsafe { entry(slot.cast(), state) });
            }
        }
        // SAFETY: copied at once, see above.
        unsafe { ADDRESSES_V6.get(address) }.copied()
    }
}

/// A word of a slot, which the loader may be writing.
///
/// # Safety
///
/// The slot must be that of an index, with so many words.
#[inline(always)]
unsafe fn word(slot: *const u64, at: usize) -> u64 {
    // SAFETY: by the contract.
    unsafe { slot.add(at).read_volatile() }
}

/// The entry in a slot that is in this state.
///
/// # Safety
///
/// The slot must be that of an index.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the low half is the entry's"
)]
unsafe fn entry(slot: *const u64, state: u64) -> AddressEntry {
    // SAFETY: by the contract.
    AddressEntry::from_words(unsafe { word(slot, FIRST) }, state as u32)
}

/// The parent's configuration, or why there is none to go by: the first sync is not complete, it is
/// changing, or no agent has been alive for too long.
#[inline(always)]
pub fn config() -> Result<Config, Reason> {
    let Some(control) = CONFIG.get_ptr(0) else {
        return Err(Reason::NotReady);
    };
    // Last to first, against the loader's first to last: a half-written copy differs from the other.
    // SAFETY: the value of an array, which is never freed; the loader may be writing it, and each of these
    // is read once.
    let (second, first, deadline) = unsafe {
        (
            (&raw const (*control).second).read_volatile(),
            (&raw const (*control).first).read_volatile(),
            (&raw const (*control).deadline).read_volatile(),
        )
    };
    if first != second || !first.has(ConfigFlags::READY) {
        return Err(Reason::NotReady);
    }
    // Ticks: the verifier makes two instructions of it, any other clock is a call of twenty nanoseconds.
    // SAFETY: the helper takes nothing.
    if unsafe { bpf_jiffies64() } > deadline {
        return Err(Reason::Stale);
    }
    Ok(first)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Addresses of a test, in place of the map.
    pub(crate) struct Table<'a, A>(pub(crate) &'a [(A, AddressEntry)]);

    impl<A: PartialEq> Addresses<A> for Table<'_, A> {
        fn get(&self, address: A) -> Option<AddressEntry> {
            let found = self.0.iter().find(|(key, _)| *key == address);
            found.map(|(_, entry)| *entry)
        }
    }
}
