//! The indexes in front of the address maps ([`ipvlan_common::index`]), which we write in place.
//!
//! An address is put into its map first and into the index then, and removed in the other order. What a slot
//! says was true of the map at some moment; where that is not certain it leaves it to the map.

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
        ADDRESS, ASK_MAP, INDEX_V4_SLOTS, INDEX_V6_SLOTS, NOBODY, STATE, SlotV4, SlotV6, asks_map,
        index_v4, index_v6, slot_v4, slot_v6,
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
        let mut v4 = self.v4.nobody();
        let mut v6 = self.v6.nobody();
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

/// A slot that says that nobody is here.
const fn nobody<const WORDS: usize>() -> [u64; WORDS] {
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

    fn read(&self, at: u32) -> [u64; WORDS] {
        self.slots()[at as usize]
            .each_ref()
            .map(|word| word.load(Ordering::SeqCst))
    }

    /// Writes a slot, so that at no moment it says something that is neither what it did nor what it will.
    fn write(&mut self, at: u32, words: [u64; WORDS]) {
        let slot = &self.slots()[at as usize];
        if self.read(at)[STATE + 1..] != words[STATE + 1..] {
            slot[STATE].store(ASK_MAP, Ordering::SeqCst);
            for (place, word) in slot.iter().zip(words).skip(STATE + 1) {
                place.store(word, Ordering::SeqCst);
            }
        }
        slot[STATE].store(words[STATE], Ordering::SeqCst);
    }

    fn put(&mut self, at: u32, slot: [u64; WORDS]) {
        let now = self.read(at);
        if now[STATE] == NOBODY || is_about(now, slot) {
            self.write(at, slot);
        } else if !asks_map(now[STATE]) {
            // Somebody else is here already.
            self.write(at, [ASK_MAP; WORDS]);
        }
    }

    fn remove(&mut self, at: u32, slot: [u64; WORDS]) {
        if is_about(self.read(at), slot) {
            self.write(at, nobody());
        }
    }

    fn nobody(&self) -> Vec<[u64; WORDS]> {
        vec![nobody(); self.slots as usize]
    }

    fn fill(&mut self, wanted: &[[u64; WORDS]]) -> usize {
        let mut wrong = 0;
        for (at, &slot) in (0..self.slots).zip(wanted) {
            let now = self.read(at);
            if now != slot {
                wrong += usize::from(!asks_map(now[STATE]));
                self.write(at, slot);
            }
        }
        wrong
    }
}

impl<const WORDS: usize> Drop for Slots<WORDS> {
    fn drop(&mut self) {
        if self.slots > 0 {
            // SAFETY: nobody has a reference into it any more. It cannot fail for what was mapped.
            let _: nix::Result<()> = unsafe { munmap(self.start, self.len()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        net::{Ipv4Addr, Ipv6Addr},
    };

    use ipvlan_common::{Delivery, index::is_about_v4};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Files are as good as arrays here.
    fn index() -> Index {
        let file = |slots: u32, slot: usize| -> File {
            let file = tempfile::tempfile().unwrap();
            file.set_len(u64::from(slots) * slot as u64).unwrap();
            file
        };
        Index::new(
            file(INDEX_V4_SLOTS, size_of::<SlotV4>()),
            file(INDEX_V6_SLOTS, size_of::<SlotV6>()),
        )
        .unwrap()
    }

    /// What a program is told.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Told {
        AskMap,
        Nobody,
        Holder(AddressEntry),
    }

    /// As `AddressMap::get` of the programs.
    fn told(index: &Index, address: IpAddr) -> Told {
        let (state, first, same) = match address {
            IpAddr::V4(v4) => {
                let [state, first] = index.v4.read(index_v4(v4.octets()));
                (state, first, is_about_v4(state, v4.octets()))
            }
            IpAddr::V6(v6) => {
                let halves = halves_v6(v6.octets());
                let [state, first, a, b] = index.v6.read(index_v6(halves));
                (state, first, [a, b] == halves)
            }
        };
        if asks_map(state) {
            return Told::AskMap;
        }
        if !same {
            return Told::Nobody;
        }
        let second = u32::try_from(state & u64::from(u32::MAX)).unwrap();
        Told::Holder(AddressEntry::from_words(first, second))
    }

    /// Of each family ten in two slots, and ten in slots of their own.
    fn addresses() -> Vec<IpAddr> {
        let shared = (0..10_u8).map(|n| IpAddr::from([10, n, 0, n % 2]));
        let own = (0..10_u8).map(|n| IpAddr::from([10, 0, 1, n]));
        let slot_of = |address: Ipv6Addr| index_v6(halves_v6(address.octets()));
        let of = |n: u128| Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | n);
        let shared6 = (0..).map(of).filter(|&address| slot_of(address) < 2);
        let own6 = (0..10).map(|n| Ipv6Addr::from_bits((0xfe80_u128 << 112) | n));
        shared
            .chain(own)
            .chain(shared6.take(10).chain(own6).map(IpAddr::from))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn index_never_says_what_the_map_does_not(
            steps in vec((0..40_usize, prop::option::of(1..5_u32)), 0..60),
        ) {
            let addresses = addresses();
            let mut index = index();
            prop_assert!(addresses.iter().all(|&address| told(&index, address) == Told::AskMap));
            prop_assert_eq!(index.fill(&Addresses::new()), 0);
            let mut map = Addresses::new();
            for (which, ifindex) in steps {
                let address = addresses[which];
                if let Some(ifindex) = ifindex {
                    let entry = AddressEntry::child(ifindex, 3, Delivery::Pass);
                    map.insert(address, entry);
                    index.put(address, entry);
                } else {
                    index.remove(address);
                    map.remove(&address);
                }
                for address in &addresses {
                    let held = map.get(address).map_or(Told::Nobody, |&entry| Told::Holder(entry));
                    let told = told(&index, *address);
                    prop_assert!(told == held || told == Told::AskMap, "{}: {:?}", address, told);
                }
            }
            prop_assert_eq!(index.fill(&map), 0, "it said something else");
            // And now it leaves to the map only what two addresses share.
            for &address in &addresses {
                let sharers = map.keys().filter(|other| same_slot(**other, address)).count();
                prop_assert_eq!(told(&index, address) == Told::AskMap, sharers > 1, "{}", address);
            }
        }
    }

    fn same_slot(a: IpAddr, b: IpAddr) -> bool {
        let place = |address| Place::of(address, AddressEntry::default());
        match (place(a), place(b)) {
            (Place::V4(a, _), Place::V4(b, _)) | (Place::V6(a, _), Place::V6(b, _)) => a == b,
            _ => false,
        }
    }

    #[test]
    fn what_somebody_else_wrote_is_found_and_mended() {
        let mut index = index();
        index.fill(&Addresses::new());
        let stranger = Ipv4Addr::new(192, 0, 2, 9);
        let entry = AddressEntry::child(7, 0, Delivery::Pass);
        let at = index_v4(stranger.octets());
        index.v4.write(at, slot_v4(stranger.octets(), entry));
        assert_eq!(told(&index, stranger.into()), Told::Holder(entry));
        assert_eq!(index.fill(&Addresses::new()), 1);
        assert_eq!(told(&index, stranger.into()), Told::Nobody);
        index.v4.write(at, [ASK_MAP; 2]);
        assert_eq!(index.fill(&Addresses::new()), 0, "that was no lie");
    }
}
