//! A whole snapshot that is read in chunks is what one read at once would be, whatever happens between
//! the chunks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ipvlan_user::{
    discover::{Changed, Part, Scope},
    facts::{NetnsId, Snapshot},
};

use super::{
    lab::{Container, DEADLINE, Lab, address, on_host},
    renewing::{Dice, assert_only_changed, change, is_whole},
};

/// Reads on to the end; nothing shows before.
fn to_the_end(lab: &mut Lab, snapshot: &mut Snapshot) -> Changed {
    loop {
        let before = snapshot.clone();
        if let Some(renewed) = lab.chunk(snapshot, Duration::from_millis(1)) {
            return renewed.changed;
        }
        assert_eq!(*snapshot, before);
    }
}

#[test]
fn whatever_changes_between_its_slices_the_end_is_the_whole_snapshot() {
    on_host(async |mut lab| {
        let containers = lab.nine_children().await;
        let mut snapshot = lab.everything();
        assert_eq!(snapshot.children.len(), 9);

        let mut dice = Dice(2);
        let mut between = 0;
        for round in 0..30 {
            change(&mut dice, &containers);
            let before = snapshot.clone();
            lab.begin(&mut snapshot);
            let mut renewed_parts = false;
            let renewed = loop {
                // One netns in each chunk.
                if dice.roll(3) == 0 {
                    change(&mut dice, &containers);
                    if dice.roll(2) == 0 {
                        let woke = lab.dirty(&snapshot).await;
                        lab.renew(&mut snapshot, &woke);
                        renewed_parts = true;
                        between += 1;
                    }
                }
                if let Some(renewed) = lab.chunk(&mut snapshot, Duration::from_nanos(1)) {
                    break renewed;
                }
            };
            if !renewed_parts {
                assert_only_changed(&before, &snapshot, &renewed.changed);
            }
            // What woke meanwhile, and what the scan has left.
            let deadline = Instant::now() + DEADLINE;
            let mut left = renewed.dirty;
            loop {
                left.extend(lab.dirty(&snapshot).await.parts);
                lab.discover.renew(&mut snapshot, &left, None).unwrap();
                left.clear();
                if is_whole(&mut lab, &snapshot, deadline, round) {
                    break;
                }
            }
        }
        assert!(between > 5, "{between}");
    });
}

#[test]
fn what_was_read_anew_meanwhile_is_not_undone() {
    on_host(async |mut lab| {
        let containers = [(); 3].map(|()| Container::with_child());
        for container in &containers {
            container.ip("link set child0 up");
        }
        let mut snapshot = lab.everything();
        let known = Scope::KnownNetns;
        lab.discover.begin(&mut snapshot, known).unwrap();
        // So long that all but our own are read.
        let all = snapshot.netnses.iter();
        let others = all.filter(|it| it.id != NetnsId::Own).count();
        for _ in 0..others {
            let read = lab.chunk(&mut snapshot, Duration::from_nanos(1));
            assert_eq!(read, None);
        }
        let ids = containers.each_ref().map(|it| it.id(&snapshot));
        let [first, second, third] = ids;
        containers[0].ip("addr add 192.0.2.7/24 dev child0");
        containers[1].ip("link set child0 down");
        containers[2].ip("addr add 192.0.2.9/24 dev child0");
        let parts = BTreeMap::from([(first, Part::Addresses), (second, Part::Links)]);
        let renewed = lab.discover.renew(&mut snapshot, &parts, None).unwrap();
        let both = BTreeSet::from([first, second]);
        assert_eq!(renewed.changed, Changed::Children(both));
        let renewed = loop {
            if let Some(renewed) = lab.chunk(&mut snapshot, Duration::from_secs(1)) {
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
    on_host(async |mut lab| {
        let old = Container::with_child();
        let mut snapshot = lab.everything();
        let old_id = old.id(&snapshot);
        let new = Container::with_child();
        let found = lab.begin(&mut snapshot);
        let new_id = new.id(&snapshot);
        assert_eq!(found.get(&new_id), Some(&Part::Links));
        assert_eq!(snapshot.children_of(new_id), []);
        // Only now: before, the new one could get its nsid.
        drop(old);
        let deadline = Instant::now() + DEADLINE;
        // A netns goes a moment after its last process.
        while snapshot.netns(old_id).is_some() {
            assert!(Instant::now() < deadline);
            lab.begin(&mut snapshot);
            assert!(snapshot.netns(old_id).is_some() || snapshot.children_of(old_id).is_empty());
            to_the_end(&mut lab, &mut snapshot);
        }
        assert_eq!(snapshot.children.len(), 1);
        assert_eq!(snapshot.children[0].netns, new.id(&snapshot));
        let again = lab.begin(&mut snapshot);
        assert!(!again.contains_key(&new.id(&snapshot)));
        assert_eq!(to_the_end(&mut lab, &mut snapshot), Changed::default());
    });
}

#[test]
fn no_slice_of_ten_thousand_addresses_takes_as_long_as_all_of_them() {
    const NETNSES: usize = 100;
    const EACH: usize = 100;
    const CHUNK: Duration = Duration::from_millis(5);
    on_host(async |mut lab| {
        let containers = (0..NETNSES).map(|number| {
            let container = Container::new();
            container.create_child("c0");
            let add = |address| format!("addr add 10.{number}.0.{address}/32 dev c0");
            container.ip_batch((0..EACH).map(add));
            container
        });
        let _containers: Vec<_> = containers.collect();
        let mut snapshot = lab.everything();
        let (mut fastest, mut shortest) = (Duration::MAX, Duration::MAX);
        for _ in 0..5 {
            let started = Instant::now();
            lab.everything();
            fastest = fastest.min(started.elapsed());
            let started = Instant::now();
            lab.begin(&mut snapshot);
            let mut chunks = vec![started.elapsed()];
            loop {
                let started = Instant::now();
                let read = lab.chunk(&mut snapshot, CHUNK);
                chunks.push(started.elapsed());
                if read.is_some() {
                    break;
                }
            }
            let slowest = chunks.iter().copied().max().unwrap();
            let count = chunks.len();
            println!("{count} chunks, the slowest {slowest:?}; at once {fastest:?}");
            shortest = shortest.min(slowest);
        }
        assert!(shortest < fastest, "{shortest:?}, {fastest:?}");
    });
}
