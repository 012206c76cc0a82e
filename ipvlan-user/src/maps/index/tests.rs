//! The indexes beside what their maps hold, and readers that are interrupted.

use std::{fs::File, net::Ipv6Addr};

use ipvlan_common::{
    Delivery, Reason,
    index::{Words, read_v4, read_v6},
};
use proptest::{collection::vec, prelude::*};
use std::cell::Cell;

use super::*;

/// An entry of a child. The index does not say which ifindex the child has.
fn of_child(slot: u32, target: u32) -> AddressEntry {
    AddressEntry::child(0, slot, Delivery::Redirect(target))
}

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

/// What a program finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lookup {
    AskMap,
    Unowned,
    Entry(AddressEntry),
}

/// A slot that is not being written.
struct Still<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Words for Still<WORDS> {
    fn word(&self, at: usize) -> u64 {
        self.0[at]
    }
}

/// As `AddressMap::get` of the programs.
fn lookup(index: &Index, address: IpAddr) -> Lookup {
    let found = match address {
        IpAddr::V4(v4) => {
            let address = v4.octets();
            read_v4(&Still(index.v4.raw(index_v4(address))), address)
        }
        IpAddr::V6(v6) => {
            let halves = halves_v6(v6.octets());
            read_v6(&Still(index.v6.raw(index_v6(halves))), halves)
        }
    };
    match found {
        None => Lookup::AskMap,
        Some(None) => Lookup::Unowned,
        Some(Some(entry)) => Lookup::Entry(entry),
    }
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
        prop_assert!(addresses.iter().all(|&address| lookup(&index, address) == Lookup::AskMap));
        prop_assert_eq!(index.fill(&Addresses::new()), 0);
        let mut map = Addresses::new();
        for (which, counted) in steps {
            let address = addresses[which];
            if let Some(counted) = counted {
                let entry = of_child(counted, 3);
                map.insert(address, entry);
                index.put(address, entry);
            } else {
                index.remove(address);
                map.remove(&address);
            }
            for address in &addresses {
                let held = map.get(address).map_or(Lookup::Unowned, |&entry| Lookup::Entry(entry));
                let lookup = lookup(&index, *address);
                prop_assert!(lookup == held || lookup == Lookup::AskMap, "{}: {:?}", address, lookup);
            }
        }
        prop_assert_eq!(index.fill(&map), 0, "it said something else");
        // And now it leaves to the map only what two addresses share.
        for &address in &addresses {
            let sharers = map.keys().filter(|other| same_slot(**other, address)).count();
            prop_assert_eq!(lookup(&index, address) == Lookup::AskMap, sharers > 1, "{}", address);
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

/// All that a slot held, store by store, and a reader that is stalled between its reads.
struct Stalled<const WORDS: usize> {
    moments: Vec<[u64; WORDS]>,
    /// At which moment each read happens.
    schedule: Vec<usize>,
    reads: Cell<usize>,
}

impl<const WORDS: usize> Words for Stalled<WORDS> {
    fn word(&self, at: usize) -> u64 {
        let read = self.reads.replace(self.reads.get() + 1);
        self.moments[self.schedule[read]][at]
    }
}

/// A reader that reads the state once: what has to fail here.
struct Once<'a, const WORDS: usize>(&'a Stalled<WORDS>, Cell<Option<u64>>);

impl<const WORDS: usize> Words for Once<'_, WORDS> {
    fn word(&self, at: usize) -> u64 {
        if at != STATE {
            return self.0.word(at);
        }
        let state = self.1.get().unwrap_or_else(|| self.0.word(at));
        self.1.set(Some(state));
        state
    }
}

/// What a slot holds after each store of these writes.
fn moments<const WORDS: usize>(writes: &[[u64; WORDS]]) -> Vec<[u64; WORDS]> {
    let mut now = unowned();
    let mut moments = vec![now];
    for (&words, generation) in writes.iter().zip(1..) {
        for (place, word) in stores(now, words, Some(generation * FIRST_GENERATION)) {
            now[place] = word;
            moments.push(now);
        }
    }
    moments
}

/// Every schedule of so many reads over so many moments.
fn schedules(reads: usize, moments: usize) -> Vec<Vec<usize>> {
    let mut schedules = vec![Vec::new()];
    for _ in 0..reads {
        schedules = schedules
            .into_iter()
            .flat_map(|schedule: Vec<usize>| {
                let from = schedule.last().copied().unwrap_or_default();
                (from..moments).map(move |at| [&schedule[..], &[at]].concat())
            })
            .collect();
    }
    schedules
}

/// How many schedules make a reader see what never was. `read` gets the reader, and whether it may read the
/// state again.
fn torn<const WORDS: usize>(
    writes: &[[u64; WORDS]],
    entries: &[AddressEntry],
    read: impl Fn(&Stalled<WORDS>, bool) -> Option<Option<AddressEntry>>,
) -> [usize; 2] {
    let moments = moments(writes);
    [true, false].map(|again| {
        let mut torn = 0;
        for schedule in schedules(WORDS + 1, moments.len()) {
            let slot = Stalled {
                moments: moments.clone(),
                schedule,
                reads: Cell::new(0),
            };
            if let Some(Some(entry)) = read(&slot, again) {
                torn += usize::from(!entries.contains(&entry) && entry != AddressEntry::CHANGING);
            }
        }
        torn
    })
}

#[test]
fn a_reader_that_stalls_over_two_writes_never_sees_two_entries_in_one() {
    let entries = [
        of_child(3, 7),
        of_child(4, 8).refused(Reason::ChildDown),
        // The state of the first, with other words.
        of_child(5, 9),
    ];
    let v4 = [10, 0, 0, 1];
    let [again, once] = torn(
        &entries.map(|entry| slot_v4(v4, entry)),
        &entries,
        |slot, again| {
            if again {
                read_v4(slot, v4)
            } else {
                read_v4(&Once(slot, Cell::new(None)), v4)
            }
        },
    );
    assert_eq!(again, 0);
    assert!(once > 0, "the test cannot fail");

    // Another address in between, and back.
    let (v6, other) = ([1, 2], [1, 3]);
    let writes = [
        slot_v6(v6, entries[0]),
        slot_v6(other, entries[1]),
        slot_v6(v6, entries[2]),
    ];
    let [again, once] = torn(&writes, &[entries[0], entries[2]], |slot, again| {
        if again {
            read_v6(slot, v6)
        } else {
            read_v6(&Once(slot, Cell::new(None)), v6)
        }
    });
    assert_eq!(again, 0);
    assert!(once > 0, "the test cannot fail");
}

#[test]
fn a_slot_whose_generations_are_used_up_refers_to_the_map_until_the_next_audit() {
    let mut index = index();
    index.fill(&Addresses::new());
    let address = IpAddr::from([10, 0, 0, 1]);
    let entry = |slot| of_child(slot, 7);
    let mut states = std::collections::BTreeSet::new();
    let mut last = 0;
    while lookup(&index, address) != Lookup::AskMap {
        last += 1;
        index.put(address, entry(last));
        let state = index.v4.raw(index_v4([10, 0, 0, 1]))[STATE];
        assert!(
            states.insert(state),
            "a state came back after {last} writes"
        );
    }
    assert!((100..=127).contains(&last), "{last} writes");
    index.put(address, entry(1));
    assert_eq!(lookup(&index, address), Lookup::AskMap);
    let map = Addresses::from([(address, entry(2))]);
    assert_eq!(index.fill(&map), 0);
    assert_eq!(lookup(&index, address), Lookup::Entry(entry(2)));
}
