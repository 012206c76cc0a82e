//! The indexes in front of the address maps ([`ipvlan_common::index`]), which we write in place.
//!
//! An address is put into its map first and into the index then, and removed in the other order. What a slot
//! says was true of the map at some moment; where that is not certain it leaves it to the map.

#[cfg(test)]
mod tests;

use std::{
    ffi::c_void,
    io,
    net::IpAddr,
    num::NonZeroUsize,
    os::fd::AsFd,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use ipvlan_common::{
    AddressEntry, halves_v6,
    index::{
        ADDRESS, ASK_MAP, GENERATION, INDEX_V4_SLOTS, INDEX_V6_SLOTS, NOBODY, STATE, SlotV4,
        SlotV6, asks_map, index_v4, index_v6, slot_v4, slot_v6,
    },
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::diff::Addresses;

/// The indexes of both families.
#[derive(Debug)]
pub struct Index {
    v4: Slots<{ size_of::<SlotV4>() / size_of::<u64>() }>,
    v6: Slots<{ size_of::<SlotV6>() / size_of::<u64>() }>,
}

impl Index {
    /// Maps the arrays behind these descriptors, which must be those of the indexes.
    ///
    /// # Errors
    ///
    /// What `mmap` says: of an array that was not made to be mapped, `EPERM` or `EINVAL`.
    pub fn new(v4: impl AsFd, v6: impl AsFd) -> io::Result<Self> {
        Ok(Self {
            v4: Slots::new(v4, INDEX_V4_SLOTS)?,
            v6: Slots::new(v6, INDEX_V6_SLOTS)?,
        })
    }

    /// The map has this entry now.
    pub fn put(&mut self, address: IpAddr, entry: AddressEntry) {
        match Place::of(address, entry) {
            Place::V4(at, slot) => self.v4.put(at, slot),
            Place::V6(at, slot) => self.v6.put(at, slot),
        }
    }

    /// The map is about to lose this address.
    pub fn remove(&mut self, address: IpAddr) {
        // Which address a slot is about does not depend on the entry.
        match Place::of(address, AddressEntry::default()) {
            Place::V4(at, slot) => self.v4.remove(at, slot),
            Place::V6(at, slot) => self.v6.remove(at, slot),
        }
    }

    /// These are all that the maps have. Returns how many slots said anything else.
    pub fn fill(&mut self, addresses: &Addresses) -> usize {
        let mut v4 = self.v4.unowned();
        let mut v6 = self.v6.unowned();
        for (&address, &entry) in addresses {
            match Place::of(address, entry) {
                Place::V4(at, slot) => set(&mut v4, at, slot),
                Place::V6(at, slot) => set(&mut v6, at, slot),
            }
        }
        self.v4.fill(&v4) + self.v6.fill(&v6)
    }
}

/// Which slot is that of an address, and what it says of it if it is the only one.
#[derive(Debug)]
enum Place {
    V4(u32, SlotV4),
    V6(u32, SlotV6),
}

impl Place {
    fn of(address: IpAddr, entry: AddressEntry) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let address = v4.octets();
                Self::V4(index_v4(address), slot_v4(address, entry))
            }
            IpAddr::V6(v6) => {
                let halves = halves_v6(v6.octets());
                Self::V6(index_v6(halves), slot_v6(halves, entry))
            }
        }
    }
}

/// What a slot with `now` and with another address then holds.
fn set<const WORDS: usize>(slots: &mut [[u64; WORDS]], at: u32, slot: [u64; WORDS]) {
    let now = &mut slots[at as usize];
    *now = if now[STATE] == NOBODY {
        slot
    } else {
        [ASK_MAP; WORDS]
    };
}

/// Whether a slot says something, and of the same address as another.
fn is_about<const WORDS: usize>(slot: [u64; WORDS], other: [u64; WORDS]) -> bool {
    !asks_map(slot[STATE])
        && slot[STATE] != NOBODY
        && slot[STATE] >> 32 == other[STATE] >> 32
        && slot[ADDRESS..] == other[ADDRESS..]
}

/// Returns a slot of an address without a local owner.
const fn unowned<const WORDS: usize>() -> [u64; WORDS] {
    let mut slot = [0; WORDS];
    slot[STATE] = NOBODY;
    slot
}

/// An array of slots, mapped.
#[derive(Debug)]
struct Slots<const WORDS: usize> {
    start: NonNull<c_void>,
    slots: u32,
}

// SAFETY: it owns the mapping, which belongs to no thread.
unsafe impl<const WORDS: usize> Send for Slots<WORDS> {}

impl<const WORDS: usize> Slots<WORDS> {
    fn new(map: impl AsFd, slots: u32) -> io::Result<Self> {
        let mut mapped = Self {
            start: NonNull::dangling(),
            slots,
        };
        let len = NonZeroUsize::new(mapped.len())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: a new mapping, at a place that the kernel chooses.
        mapped.start = unsafe {
            mmap(
                None,
                len,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                map,
                0,
            )
        }
        .inspect_err(|_| mapped.slots = 0)?;
        Ok(mapped)
    }

    /// In bytes.
    const fn len(&self) -> usize {
        self.slots as usize * WORDS * size_of::<u64>()
    }

    fn slots(&self) -> &[[AtomicU64; WORDS]] {
        // SAFETY: so much is mapped as long as `self` is, at the start of a page; programs read it while we
        // write it, hence atomics.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.slots as usize) }
    }

    /// Reads a slot with its generation.
    fn raw(&self, at: u32) -> [u64; WORDS] {
        self.slots()[at as usize]
            .each_ref()
            .map(|word| word.load(Ordering::SeqCst))
    }

    fn read(&self, at: u32) -> [u64; WORDS] {
        let mut slot = self.raw(at);
        slot[STATE] &= !GENERATION;
        slot
    }

    /// Writes a slot, so that at no moment it says something that is neither what it did nor what it will.
    fn write(&mut self, at: u32, words: [u64; WORDS]) {
        let now = self.raw(at)[STATE] & GENERATION;
        // Once all are used up the map is asked until the next audit.
        let next = (now != GENERATION).then(|| now + FIRST_GENERATION);
        self.store(at, words, next);
    }

    fn store(&mut self, at: u32, words: [u64; WORDS], generation: Option<u64>) {
        let slot = &self.slots()[at as usize];
        for (place, word) in stores(self.raw(at), words, generation) {
            slot[place].store(word, Ordering::SeqCst);
        }
    }

    fn put(&mut self, at: u32, slot: [u64; WORDS]) {
        let now = self.read(at);
        if now[STATE] == NOBODY || is_about(now, slot) {
            self.write(at, slot);
        } else if !asks_map(now[STATE]) {
            // Another address is in this slot already.
            self.write(at, [ASK_MAP; WORDS]);
        }
    }

    fn remove(&mut self, at: u32, slot: [u64; WORDS]) {
        if is_about(self.read(at), slot) {
            self.write(at, unowned());
        }
    }

    fn unowned(&self) -> Vec<[u64; WORDS]> {
        vec![unowned(); self.slots as usize]
    }

    fn fill(&mut self, wanted: &[[u64; WORDS]]) -> usize {
        let mut wrong = 0;
        for (at, &slot) in (0..self.slots).zip(wanted) {
            let now = self.read(at);
            if now != slot {
                wrong += usize::from(!asks_map(now[STATE]));
                let next = (self.raw(at)[STATE] & GENERATION) + FIRST_GENERATION;
                self.store(at, slot, Some(next & GENERATION));
            }
        }
        wrong
    }
}

/// The lowest bit of [`GENERATION`].
const FIRST_GENERATION: u64 = GENERATION & GENERATION.wrapping_neg();

/// The stores, place and word, that make a slot hold `words`, in their order. `now` is what it holds with its
/// generation. Without a generation the map is asked in the end.
fn stores<const WORDS: usize>(
    now: [u64; WORDS],
    words: [u64; WORDS],
    generation: Option<u64>,
) -> impl Iterator<Item = (usize, u64)> {
    let old = now[STATE] & GENERATION;
    let last = generation.map(|generation| (STATE, words[STATE] | generation));
    let rest = words.into_iter().enumerate().skip(STATE + 1);
    [(STATE, ASK_MAP | old)].into_iter().chain(rest).chain(last)
}

impl<const WORDS: usize> Drop for Slots<WORDS> {
    fn drop(&mut self) {
        if self.slots > 0 {
            // SAFETY: there is no reference into it any more. It cannot fail for what was mapped.
            let _: nix::Result<()> = unsafe { munmap(self.start, self.len()) };
        }
    }
}
