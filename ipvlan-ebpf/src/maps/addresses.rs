//! The address maps and their indexes, which the loader fills. Reads only.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap},
};
use ipvlan_common::{
    AddressEntry,
    index::{INDEX_V4_SLOTS, INDEX_V6_SLOTS, SlotV4, SlotV6, index_v4, index_v6, read_v4, read_v6},
};

use super::ordered::Slot;
use crate::{decide::Addresses, wire::Ip6};

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

/// The address maps in the kernel, behind their indexes.
pub struct AddressMap;

// An entry is copied out at once. The maps are preallocated, so an entry deleted meanwhile may be reused
// for another address: at worst this one frame is decided by the entry of an address that came the very
// moment this one went.

impl Addresses<[u8; 4]> for AddressMap {
    #[inline(always)]
    fn get(&self, address: [u8; 4]) -> Option<AddressEntry> {
        if let Some(slot) = INDEX_V4.get_ptr(index_v4(address))
            && let Some(found) = read_v4(&Slot(slot.cast()), address)
        {
            return found;
        }
        // SAFETY: copied at once, see above.
        unsafe { ADDRESSES_V4.get(address) }.copied()
    }

    #[inline(always)]
    fn of_sender(&self, address: [u8; 4]) -> AddressEntry {
        of_word(sender_v4(u32::from_ne_bytes(address).into()))
    }
}

impl Addresses<Ip6> for AddressMap {
    #[inline(always)]
    fn get(&self, address: Ip6) -> Option<AddressEntry> {
        let halves = address.halves();
        if let Some(slot) = INDEX_V6.get_ptr(index_v6(halves))
            && let Some(found) = read_v6(&Slot(slot.cast()), halves)
        {
            return found;
        }
        // SAFETY: copied at once, see above.
        unsafe { ADDRESSES_V6.get(address) }.copied()
    }

    #[inline(always)]
    fn of_sender(&self, address: Ip6) -> AddressEntry {
        let [first, last] = address.halves();
        of_word(sender_v6(first, last))
    }
}

/// The lookup of a sender as a function that the verifier follows once: it is global, and returns any number for
/// it. In line, each way to an entry is followed through all that is behind it. The address is in network byte
/// order; what is returned is the second of [`AddressEntry::to_words`].
#[inline(never)]
#[unsafe(no_mangle)]
#[allow(clippy::cast_possible_truncation, reason = "an IPv4 address")]
extern "C" fn sender_v4(address: u64) -> u64 {
    word_of(AddressMap.get((address as u32).to_ne_bytes()))
}

/// As [`sender_v4`], of the halves that [`Ip6::halves`] returns.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn sender_v6(first: u64, last: u64) -> u64 {
    word_of(AddressMap.get(Ip6::from_halves([first, last])))
}

#[inline(always)]
fn word_of(entry: Option<AddressEntry>) -> u64 {
    match entry {
        Some(entry) => entry.to_words().1.into(),
        None => 0,
    }
}

#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "what was not there before is cut off"
)]
const fn of_word(word: u64) -> AddressEntry {
    AddressEntry::from_words(AddressEntry::NONE.to_words().0, word as u32)
}

impl AddressMap {
    /// Whether the agent is probing for an IPv4 address. Asks the map alone: the verifier follows each way to an
    /// entry through all that is behind it.
    #[inline(always)]
    pub(crate) fn is_probed_v4(address: [u8; 4]) -> bool {
        // SAFETY: read at once, as above.
        unsafe { ADDRESSES_V4.get(address) }.is_some_and(AddressEntry::probed)
    }

    /// As [`Self::is_probed_v4`], for IPv6.
    #[inline(always)]
    pub(crate) fn is_probed_v6(address: Ip6) -> bool {
        // SAFETY: as above.
        unsafe { ADDRESSES_V6.get(address) }.is_some_and(AddressEntry::probed)
    }
}
