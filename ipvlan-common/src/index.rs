//! The index in front of each address map: an array with one slot for all addresses that have some bits
//! in common. A slot says who holds the one of them that somebody holds, or that nobody holds any; only
//! where several are held the map has to be asked, and where nothing was written yet.
//!
//! A slot is an array of words, the first of which is its state: what [`AddressEntry::to_words`] has as its
//! second word in the low half, and in the high half an IPv4 address. The loader writes words while
//! programs read them. It takes the state away first ([`ASK_MAP`]) and gives the new one last. A program reads the
//! state, the words and the state once more. If that has changed the entry is [`AddressEntry::CHANGING`]: asking the
//! map then would be one more way to it, all of which the verifier follows once more.
//!
//! Each write counts a [`GENERATION`] up, which is in the state too: a state that comes back while a program reads,
//! with other words in between, is another one. The loader does not let it wrap around between two audits of
//! the index. A program that read the words of one entry with the state of another would have to be
//! interrupted for 127 writes of that slot and an audit, each write in a sync of its own.
//!
//! Reads and writes must be in order: the programs read with `maps/ordered.rs`, the agent writes atomics.

use crate::AddressEntry;

/// Slots of the index of IPv4 addresses: one for each value of the last two bytes, so that no two
/// addresses of a prefix of 16 bits or more share one.
pub const INDEX_V4_SLOTS: u32 = 1 << 16;
/// Slots of the index of IPv6 addresses.
pub const INDEX_V6_SLOTS: u32 = 1 << V6_BITS;
const V6_BITS: u32 = 16;

/// A slot for IPv4: [`STATE`], [`FIRST`].
pub type SlotV4 = [u64; 2];
/// A slot for IPv6: [`STATE`], [`FIRST`], and the halves of the address.
pub type SlotV6 = [u64; 4];

/// Place in a slot of its state.
pub const STATE: usize = 0;
/// Place in a slot of the first word of [`AddressEntry::to_words`].
pub const FIRST: usize = 1;
/// Place in a slot of the first half of an IPv6 address; the other follows.
pub const ADDRESS: usize = 2;

/// State of a slot that says nothing: the map knows. A new array is full of these.
pub const ASK_MAP: u64 = 0;
/// Bits of a state that count writes. [`AddressEntry`] does not use them.
pub const GENERATION: u64 = 0xfe00;
/// State of a slot none of whose addresses is held: an entry of no known owner for the unspecified
/// address.
pub const NOBODY: u64 = 0xff;

/// The slot of an IPv4 address (network order).
#[must_use]
#[inline]
#[allow(clippy::cast_lossless, reason = "From is not const")]
pub const fn index_v4([_, _, third, fourth]: [u8; 4]) -> u32 {
    u16::from_be_bytes([third, fourth]) as u32
}

/// The slot of an IPv6 address: its first and last eight bytes, each in the byte order of the machine.
///
/// Of both halves, since link-local and global addresses of a child often end alike.
#[must_use]
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "as many bits as are left")]
pub const fn index_v6([first, last]: [u64; 2]) -> u32 {
    /// 2⁶⁴ divided by the golden ratio (Knuth, TAOCP 3, §6.4).
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    ((first ^ last).wrapping_mul(SPREAD) >> (u64::BITS - V6_BITS)) as u32
}

/// What a slot holds that says who has this IPv4 address (network order).
#[must_use]
#[inline]
#[allow(clippy::cast_lossless, reason = "From is not const")]
pub const fn slot_v4(address: [u8; 4], entry: AddressEntry) -> SlotV4 {
    let (first, second) = entry.to_words();
    let address = u32::from_ne_bytes(address) as u64;
    [second as u64 | address << 32, first]
}

/// What a slot holds that says who has the IPv6 address with these halves.
#[must_use]
#[inline]
#[allow(clippy::cast_lossless, reason = "From is not const")]
pub const fn slot_v6([a, b]: [u64; 2], entry: AddressEntry) -> SlotV6 {
    let (first, second) = entry.to_words();
    [second as u64, first, a, b]
}

/// Whether a slot in this state, which does not leave it to the map, says who has this IPv4 address
/// (network order).
#[must_use]
#[inline]
#[allow(clippy::cast_lossless, reason = "From is not const")]
pub const fn is_about_v4(state: u64, address: [u8; 4]) -> bool {
    state >> 32 == u32::from_ne_bytes(address) as u64
}

/// Words of a slot, which the loader may be writing.
pub trait Words {
    /// Reads the word at this place, once.
    fn word(&self, at: usize) -> u64;
}

/// Reads who has an IPv4 address (network order) from its slot. `None` leaves it to the map.
#[must_use]
#[inline(always)]
#[allow(
    clippy::inline_always,
    clippy::option_option,
    reason = "part of every lookup of the programs"
)]
pub fn read_v4(slot: &impl Words, address: [u8; 4]) -> Option<Option<AddressEntry>> {
    let state = slot.word(STATE);
    if asks_map(state) {
        return None;
    }
    if !is_about_v4(state, address) {
        return Some(None);
    }
    Some(Some(read_entry(slot, state)))
}

/// As [`read_v4`], for the IPv6 address with these halves.
#[must_use]
#[inline(always)]
#[allow(
    clippy::inline_always,
    clippy::option_option,
    reason = "part of every lookup of the programs"
)]
pub fn read_v6(slot: &impl Words, halves: [u64; 2]) -> Option<Option<AddressEntry>> {
    let state = slot.word(STATE);
    if asks_map(state) {
        return None;
    }
    let [a, b] = [slot.word(ADDRESS), slot.word(ADDRESS + 1)];
    // One branch for both: the verifier follows each.
    if (a ^ halves[0]) | (b ^ halves[1]) != 0 {
        return Some(None);
    }
    Some(Some(read_entry(slot, state)))
}

/// Reads the entry of a slot whose state was this before anything else was read.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::inline_always,
    reason = "the low half of a state is the entry's; part of every lookup of the programs"
)]
fn read_entry(slot: &impl Words, state: u64) -> AddressEntry {
    let first = slot.word(FIRST);
    if slot.word(STATE) == state {
        AddressEntry::from_words(first, state as u32)
    } else {
        AddressEntry::CHANGING
    }
}

/// Whether a slot in this state leaves it to the map.
#[must_use]
#[inline]
pub const fn asks_map(state: u64) -> bool {
    state & 0xff == ASK_MAP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Delivery, Owner, Reason, halves_v6};

    #[test]
    fn addresses_of_a_prefix_of_sixteen_bits_have_a_slot_each() {
        for low in 0..=u16::MAX {
            let [c, d] = low.to_be_bytes();
            assert_eq!(index_v4([10, 1, c, d]), u32::from(low));
        }
    }

    #[test]
    fn addresses_side_by_side_are_spread_over_the_slots() {
        let mut slots = [0; 2_048];
        for (low, slots) in slots.chunks_mut(2).enumerate() {
            for (slot, prefix) in slots
                .iter_mut()
                .zip([0xfe80_u128 << 112, 0x2001_0db8_u128 << 96])
            {
                *slot = index_v6(halves_v6((prefix | low as u128).to_be_bytes()));
            }
        }
        slots.sort_unstable();
        let shared = slots.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(shared < slots.len() / 16, "{shared} share a slot");
    }

    #[test]
    fn entries_survive_being_words_and_none_looks_like_a_state_of_its_own() {
        let entries = [
            AddressEntry::held_by(Owner::Host),
            AddressEntry::held_by(Owner::Gateway),
            AddressEntry::child(0, 7, Delivery::Redirect(u32::MAX))
                .refused(Reason::Duplicate)
                .with_router(),
        ];
        for entry in entries {
            let (first, second) = entry.to_words();
            assert_eq!(AddressEntry::from_words(first, second), entry);
            let [state, _] = slot_v4([10, 0, 0, 1], entry);
            assert!(!asks_map(state) && state & 0xff != NOBODY);
            assert!(is_about_v4(state, [10, 0, 0, 1]) && !is_about_v4(state, [10, 1, 0, 1]));
            assert_eq!(state & GENERATION, 0);
            let later = u32::try_from(GENERATION).unwrap() | second;
            assert_eq!(AddressEntry::from_words(first, later), entry);
            let [state, ..] = slot_v6([1, 2], entry);
            assert!(!asks_map(state) && state != NOBODY);
        }
        let (first, second) = (0, u32::try_from(NOBODY).unwrap());
        assert_eq!(AddressEntry::from_words(first, second).owner(), None);
    }
}
