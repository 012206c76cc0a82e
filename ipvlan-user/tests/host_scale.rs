//! What many addresses take of memory, counted.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::BTreeMap,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use ipvlan_user::{
    facts::{Child, ChildAddress, Link, NetnsId, Snapshot},
    lan::{
        announce::{Announce, Start},
        dad::{Dad, DadMode, Origin},
        random::Random,
        turns::Turns,
    },
    model::{Policy, desired},
};

/// The system's allocator, counting what each thread, and so each test, has in use.
struct Counting;

thread_local! {
    static IN_USE: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.set(IN_USE.get().wrapping_add(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.set(IN_USE.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `make` makes, and by how many bytes of each address more is in use then.
fn per_address<T>(what: &str, addresses: usize, make: impl FnOnce() -> T) -> (T, usize) {
    let before = IN_USE.get();
    let value = make();
    let bytes = IN_USE.get().saturating_sub(before) / addresses;
    println!("{what}: {bytes} bytes per address");
    (value, bytes)
}

const PARENT: u32 = 2;

/// So many children in netns of their own, with so many addresses each.
fn snapshot(children: i32, addresses: u32) -> Snapshot {
    let address = |netns: i32, index: u32| {
        let bits = 0x0a00_0000 + (netns.unsigned_abs() << 16) + index;
        ChildAddress {
            local: Ipv4Addr::from_bits(bits).into(),
            peer: None,
            prefix_len: 16,
            scope: 0,
            flags: libc::IFA_F_PERMANENT,
        }
    };
    let child = |netns: i32| Child {
        ifindex: 2,
        name: "ipvlan0".into(),
        netns: NetnsId::Nsid(netns),
        parent_ifindex: PARENT,
        up: true,
        addresses: (0..addresses).map(|index| address(netns, index)).collect(),
        ..Child::default()
    };
    Snapshot {
        links: vec![Link {
            ifindex: PARENT,
            name: "ens34".into(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            up: true,
            carrier: true,
            ..Link::default()
        }],
        children: (0..children).map(child).collect(),
        ..Snapshot::default()
    }
}

#[test]
fn what_is_kept_of_an_address_is_small() {
    const MANY: usize = 65_000;
    let (snapshot, shown) = per_address("snapshot", MANY, || snapshot(65, 1000));
    let (desired, decided) = per_address("desired", MANY, || {
        desired(
            &snapshot,
            &snapshot.links[0],
            &Policy::default(),
            &BTreeMap::new(),
        )
    });
    assert_eq!(desired.answered, MANY);
    let addresses: Vec<IpAddr> = desired.addresses.keys().copied().collect();

    let now = Instant::now();
    let mut random = Random::seeded(1);
    let netns = NetnsId::Nsid(1);
    let (dad, waiting) = per_address("waiting for probes", MANY, || {
        let mut dad = Dad::new(DadMode::Optimistic);
        let mut turns = Turns::new(now, 10, 5);
        for &address in &addresses {
            let origin = (Origin::New, true);
            dad.add(now, &mut turns, (address, netns), origin, &mut random);
        }
        (dad, turns)
    });
    let (announce, to_announce) = per_address("waiting for announcements", MANY, || {
        let mut announce = Announce::new(None);
        let mut turns = Turns::new(now, 10, 5);
        for &address in &addresses {
            let start = Start {
                new: true,
                late: true,
            };
            announce.start(now, &mut turns, (address, netns), start);
        }
        (announce, turns)
    });
    drop(black_box((dad, announce)));
    assert!(shown + decided < 130, "{shown} + {decided}");
    // What waits for its turn keeps its place in a fair queue. An address waits for one of the two.
    assert!(
        waiting < 260 && to_announce < 200,
        "{waiting}, {to_announce}"
    );
}
