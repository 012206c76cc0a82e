//! A whole snapshot that is read in slices is what one read at once would be, whatever happens between
//! the slices.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ipvlan_user::{
    discover::{Changed, Discover, Part, Scope, Watch},
    facts::{NetnsId, Snapshot},
};

use super::{
    lab::{
        DEADLINE, Unnamed, address, discover, everything, in_fresh_netns, ip_batch, known,
        nine_children,
    },
    renewing::{Dice, bare, change, dirty, renew, told_what_changed},
};

fn id_of(snapshot: &Snapshot, netns: &Unnamed) -> NetnsId {
    let mut all = snapshot.netnses.iter();
    let found = all.find(|it| it.pid == Some(netns.pid()));
    found.expect("its netns").id
}

/// Goes on to the end; nothing shows before.
fn to_the_end(discover: &mut Discover, snapshot: &mut Snapshot) -> Changed {
    loop {
        let before = snapshot.clone();
        let renewed = discover.read_chunk(snapshot, Duration::from_millis(1), None);
        if let Some(renewed) = renewed.expect("a chunk") {
            return renewed.changed;
        }
        assert_eq!(*snapshot, before);
    }
}

#[test]
fn whatever_changes_between_its_slices_the_end_is_the_whole_snapshot() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let lab = nine_children(&mut watch).await;
        let mut snapshot = everything(&mut discover);
        assert_eq!(snapshot.children.len(), 9);

        let mut dice = Dice(2);
        let mut between = 0;
        for round in 0..30 {
            change(&mut dice, &lab);
            let before = snapshot.clone();
            discover
                .begin(&mut snapshot, Scope::Everything)
                .expect("begin");
            let mut renewed_parts = false;
            let renewed = loop {
                // One netns in each chunk.
                if dice.roll(3) == 0 {
                    change(&mut dice, &lab);
                    if dice.roll(2) == 0 {
                        let woke = dirty(&mut watch, &mut discover, &snapshot).await;
                        renew(&mut discover, &mut snapshot, &woke);
                        renewed_parts = true;
                        between += 1;
                    }
                }
                let one = Duration::from_nanos(1);
                if let Some(renewed) = discover
                    .read_chunk(&mut snapshot, one, None)
                    .expect("a chunk")
                {
                    break renewed;
                }
            };
            if !renewed_parts {
                told_what_changed(&before, &snapshot, &renewed.changed);
            }
            // What woke meanwhile, and what the scan has left.
            let deadline = Instant::now() + DEADLINE;
            let mut left = renewed.dirty;
            loop {
                let woke = dirty(&mut watch, &mut discover, &snapshot).await;
                left.extend(woke.parts);
                discover
                    .renew(&mut snapshot, &left, None)
                    .expect("what is left");
                left.clear();
                let (now, whole) = (bare(snapshot.clone()), bare(known(&mut discover)));
                if now == whole {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "round {round}: {now:#?} is not {whole:#?}"
                );
            }
        }
        assert!(between > 5, "{between}");
    });
}

#[test]
fn what_was_read_anew_meanwhile_is_not_undone() {
    in_fresh_netns(async || {
        let mut discover = discover();
        let lab: Vec<_> = (0..3).map(|_| Unnamed::new()).collect();
        for netns in &lab {
            netns.create_child("child0");
            netns.ip("link set child0 up");
        }
        let mut snapshot = everything(&mut discover);
        discover
            .begin(&mut snapshot, Scope::KnownNetns)
            .expect("begin");
        // So long that all but our own are read.
        let all = Duration::from_nanos(1);
        let others = snapshot.netnses.iter().filter(|it| it.id != NetnsId::Own);
        for _ in 0..others.count() {
            let renewed = discover
                .read_chunk(&mut snapshot, all, None)
                .expect("a chunk");
            assert_eq!(renewed, None);
        }
        let [first, second, third] = [0, 1, 2].map(|index| id_of(&snapshot, &lab[index]));
        lab[0].ip("addr add 192.0.2.7/24 dev child0");
        lab[1].ip("link set child0 down");
        lab[2].ip("addr add 192.0.2.9/24 dev child0");
        let parts = BTreeMap::from([(first, Part::Addresses), (second, Part::Links)]);
        let changed = discover.renew(&mut snapshot, &parts, None).expect("renew");
        assert_eq!(
            changed.changed,
            Changed::Children(BTreeSet::from([first, second]))
        );
        let renewed = loop {
            let chunk = Duration::from_secs(1);
            if let Some(renewed) = discover
                .read_chunk(&mut snapshot, chunk, None)
                .expect("a chunk")
            {
                break renewed;
            }
        };
        // Its links are as old as when they were read.
        assert_eq!(renewed.dirty.get(&first), Some(&Part::Links));
        assert!(!renewed.dirty.contains_key(&second));
        assert_eq!(renewed.changed, Changed::default());
        let has = |id, held| {
            let child = &snapshot.children_of(id)[0];
            child.addresses.iter().any(|it| it.local == address(held))
        };
        assert!(has(first, "192.0.2.7"));
        assert!(!snapshot.children_of(second)[0].up);
        assert!(!has(third, "192.0.2.9"), "it was read before");
    });
}

#[test]
fn a_netns_is_known_by_name_from_the_beginning_and_forgotten_at_the_end() {
    in_fresh_netns(async || {
        let mut discover = discover();
        let old = Unnamed::new();
        old.create_child("child0");
        let mut snapshot = everything(&mut discover);
        let old_id = id_of(&snapshot, &old);
        let new = Unnamed::new();
        new.create_child("child0");
        let fresh = discover
            .begin(&mut snapshot, Scope::Everything)
            .expect("begin");
        let new_id = id_of(&snapshot, &new);
        assert_eq!(fresh.get(&new_id), Some(&Part::Links));
        assert_eq!(snapshot.children_of(new_id), []);
        // Only now: before, the new one could get its nsid.
        drop(old);
        let deadline = Instant::now() + DEADLINE;
        loop {
            discover
                .begin(&mut snapshot, Scope::Everything)
                .expect("begin");
            assert!(snapshot.netns(old_id).is_some() || snapshot.children_of(old_id).is_empty());
            to_the_end(&mut discover, &mut snapshot);
            // A netns goes a moment after its last process.
            if snapshot.netns(old_id).is_none() {
                break;
            }
            assert!(Instant::now() < deadline);
        }
        assert_eq!(snapshot.children.len(), 1);
        assert_eq!(snapshot.children[0].netns, id_of(&snapshot, &new));
        let again = discover
            .begin(&mut snapshot, Scope::Everything)
            .expect("begin");
        assert!(!again.contains_key(&id_of(&snapshot, &new)));
        assert_eq!(to_the_end(&mut discover, &mut snapshot), Changed::default());
    });
}

#[test]
fn no_slice_of_ten_thousand_addresses_takes_as_long_as_all_of_them() {
    const NETNSES: usize = 100;
    const EACH: usize = 100;
    const SLICE: Duration = Duration::from_millis(5);
    in_fresh_netns(async || {
        let mut discover = discover();
        let lab: Vec<_> = (0..NETNSES).map(|_| Unnamed::new()).collect();
        for (number, netns) in lab.iter().enumerate() {
            netns.create_child("c0");
            let add = |address: usize| format!("addr add 10.{number}.0.{address}/32 dev c0");
            ip_batch(Some(netns), (0..EACH).map(add));
        }
        let mut snapshot = everything(&mut discover);
        let (mut fastest, mut shortest) = (Duration::MAX, Duration::MAX);
        for _ in 0..5 {
            let started = Instant::now();
            everything(&mut discover);
            fastest = fastest.min(started.elapsed());
            let mut slowest = Duration::ZERO;
            let mut slices = 0;
            let mut started = Instant::now();
            discover
                .begin(&mut snapshot, Scope::Everything)
                .expect("begin");
            loop {
                slowest = slowest.max(started.elapsed());
                slices += 1;
                started = Instant::now();
                let renewed = discover.read_chunk(&mut snapshot, SLICE, None);
                if renewed.expect("a chunk").is_some() {
                    break;
                }
            }
            slowest = slowest.max(started.elapsed());
            println!("{slices} slices, the slowest {slowest:?}; at once {fastest:?}");
            shortest = shortest.min(slowest);
        }
        assert!(shortest < fastest, "{shortest:?}, {fastest:?}");
    });
}
