//! What many addresses take of memory, counted; and what one more of them takes of time, printed
//! (`--nocapture`).

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use ipvlan_user::{
    facts::{Child, ChildAddress, Link, NetnsId, Snapshot},
    lan::{
        announce::{Announce, Start},
        dad::{Dad, DadMode, Origin},
        random::Random,
        turns::Turns,
    },
    model::{Desired, History, Policy, desired},
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

fn snapshot(netnses: i32, children: u32, addresses: u32) -> Snapshot {
    let child = |netns: i32, number: u32| Child {
        ifindex: 2 + number,
        name: format!("ipvlan{number}").into(),
        netns: NetnsId::Nsid(netns),
        parent_ifindex: PARENT,
        up: true,
        addresses: (0..addresses)
            .map(|index| address(netns, number * addresses + index))
            .collect(),
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
        children: (0..netnses)
            .flat_map(|netns| (0..children).map(move |number| child(netns, number)))
            .collect(),
        ..Snapshot::default()
    }
}

fn address(netns: i32, index: u32) -> ChildAddress {
    let bits = 0x0a00_0000 + (netns.unsigned_abs() << 16) + index;
    ChildAddress {
        local: Ipv4Addr::from_bits(bits).into(),
        peer: None,
        prefix_len: 16,
        scope: 0,
        flags: libc::IFA_F_PERMANENT,
    }
}

fn decide(snapshot: &Snapshot) -> Desired {
    let policy = Policy::default();
    desired(snapshot, &snapshot.links[0], &policy, &BTreeMap::new())
}

#[test]
fn what_is_kept_of_an_address_is_small() {
    const MANY: usize = 65_000;
    let (snapshot, shown) = per_address("snapshot", MANY, || snapshot(65, 1, 1000));
    let (desired, decided) = per_address("desired", MANY, || decide(&snapshot));
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

#[test]
fn one_address_more_is_decided_without_looking_at_the_others() {
    for (netnses, children, addresses) in [(100, 10, 2), (65, 1, 1000)] {
        let mut snapshot = snapshot(netnses, children, addresses);
        let whole = fastest(|| {
            black_box(decide(&snapshot));
        });
        let mut desired = decide(&snapshot);
        let before = desired.answered;
        let policy = Policy::default();
        let changed = BTreeSet::from([NetnsId::Nsid(7)]);
        let index = snapshot
            .children
            .iter()
            .position(|child| child.netns == NetnsId::Nsid(7))
            .expect("a child there");
        let mut next = 50_000;
        let one = fastest(|| {
            snapshot.children[index].addresses.push(address(7, next));
            next += 1;
            let link = snapshot.links[0].clone();
            let (history, none) = (History::default(), BTreeMap::new());
            let revision = desired.revise(&history, &snapshot, &link, &policy, &changed, &none);
            assert_eq!(revision.addresses.len(), 1);
        });
        assert_eq!(desired, decide(&snapshot));
        assert!(desired.answered > before);
        println!(
            "{netnses} netns x {children} children x {addresses} addresses: all {whole:?}, one more \
             {one:?}"
        );
    }
}

fn fastest(mut run: impl FnMut()) -> Duration {
    (0..20)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}
