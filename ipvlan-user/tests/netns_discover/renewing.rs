//! What is renewed of a snapshot is what a whole one shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ipvlan_user::{
    discover::{Changed, Dirty, Discover, Part, Scope, Watch},
    facts::{LinkStats, Netns, NetnsId, Snapshot},
};

use super::lab::{
    DEADLINE, PARENT, Unnamed, discover, everything, in_fresh_netns, ip, ip_batch, known,
    nine_children, settle,
};

/// Without what a renewed one need not have, counters and how netns are called, and without netns that
/// other tests make on this machine.
pub(super) fn bare(mut snapshot: Snapshot) -> Snapshot {
    for child in &mut snapshot.children {
        child.stats = LinkStats::default();
    }
    let children = &snapshot.children;
    let holds_child = |netns: &Netns| children.iter().any(|child| child.netns == netns.id);
    snapshot.netnses.retain(holds_child);
    for netns in &mut snapshot.netnses {
        *netns = Netns {
            id: netns.id,
            ..Netns::default()
        };
    }
    snapshot
}

/// What makes `snapshot` dirty until nothing more does.
pub(super) async fn dirty(
    watch: &mut Watch,
    discover: &mut Discover,
    snapshot: &Snapshot,
) -> Dirty {
    let mut dirty = Dirty::default();
    while let Ok(wake) = tokio::time::timeout(Duration::from_millis(100), watch.wake()).await {
        dirty.add(discover.dirty(snapshot, &wake.expect("wake")));
    }
    dirty
}

pub(super) fn renew(discover: &mut Discover, snapshot: &mut Snapshot, dirty: &Dirty) -> Changed {
    let renewed = discover.renew(snapshot, &dirty.parts, None).expect("renew");
    assert!(renewed.dirty.is_empty(), "{renewed:?}");
    renewed.changed
}

/// A made-up order of things, the same on each run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

#[test]
fn after_any_changes_the_renewed_snapshot_is_the_whole_one() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let lab = nine_children(&mut watch).await;
        let mut snapshot = everything(&mut discover);
        assert_eq!(snapshot.children.len(), 9);
        settle(&mut watch).await;

        let mut dice = Dice(1);
        let mut partial = 0;
        for round in 0..40 {
            for _ in 0..=dice.roll(3) {
                change(&mut dice, &lab);
            }
            let deadline = Instant::now() + DEADLINE;
            loop {
                let dirty = dirty(&mut watch, &mut discover, &snapshot).await;
                if dirty.everything {
                    snapshot = everything(&mut discover);
                } else {
                    partial += 1;
                    let before = snapshot.clone();
                    let changed = renew(&mut discover, &mut snapshot, &dirty);
                    told_what_changed(&before, &snapshot, &changed);
                }
                let (renewed, whole) = (bare(snapshot.clone()), bare(known(&mut discover)));
                if renewed == whole {
                    break;
                }
                // Duplicate address detection ended meanwhile; then that wakes.
                assert!(
                    Instant::now() < deadline,
                    "round {round}: {renewed:#?} is not {whole:#?}"
                );
            }
        }
        assert!(partial >= 5, "{partial} of 40 rounds or more were partial");
    });
}

/// Does something that may fail, as taking away what is not there does.
pub(super) fn change(dice: &mut Dice, lab: &[Unnamed]) {
    let child = format!("child{}", dice.roll(2));
    let (third, fourth) = (dice.roll(3), dice.roll(6) + 1);
    let command = match dice.roll(12) {
        0..=3 => format!("addr add 192.0.{third}.{fourth}/24 dev {child}"),
        4 | 5 => format!("addr del 192.0.{third}.{fourth}/24 dev {child}"),
        6 => format!("addr add 2001:db8:{third}::{fourth}/64 dev {child} nodad"),
        7 => format!("addr del 2001:db8:{third}::{fourth}/64 dev {child}"),
        8 | 9 => format!("link set {child} up"),
        10 => format!("link set {child} down"),
        _ => format!("route add 198.51.{third}.0/24 dev {child}"),
    };
    match usize::try_from(dice.roll(lab.len() as u64 + 1)) {
        Ok(index) if index < lab.len() => lab[index].try_ip(&command),
        _ => super::lab::try_ip(&command.replace("child1", PARENT)),
    }
}

pub(super) fn told_what_changed(before: &Snapshot, now: &Snapshot, changed: &Changed) {
    let Changed::Children(netnses) = changed else {
        return;
    };
    let (before, now) = (bare(before.clone()), bare(now.clone()));
    assert_eq!((before.host, before.links), (now.host, now.links));
    let of_others = |snapshot: Vec<_>| -> Vec<_> {
        let all = snapshot.into_iter();
        all.filter(|child: &ipvlan_user::facts::Child| !netnses.contains(&child.netns))
            .collect()
    };
    assert_eq!(of_others(before.children), of_others(now.children));
}

#[test]
fn an_address_makes_its_own_netns_stale_and_no_other() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let (first, second) = (Unnamed::new(), Unnamed::new());
        for netns in [&first, &second] {
            netns.create_child("child0");
            netns.ip("link set child0 up");
        }
        let mut snapshot = everything(&mut discover);
        // Duplicate address detection of the links just made takes up to two seconds.
        tokio::time::sleep(Duration::from_secs(3)).await;
        settle(&mut watch).await;
        let of = |snapshot: &Snapshot, netns: &Unnamed| {
            let mut all = snapshot.netnses.iter();
            let found = all.find(|it| it.pid == Some(netns.pid()));
            found.expect("its netns").id
        };
        let (first_id, second_id) = (of(&snapshot, &first), of(&snapshot, &second));

        first.ip("addr add 192.0.2.7/24 dev child0");
        let fresh = dirty(&mut watch, &mut discover, &snapshot).await;
        // Other tests make netns on this machine, too.
        let part = |dirty: &Dirty, id| dirty.parts.get(&id).copied();
        assert_eq!(part(&fresh, first_id), Some(Part::Addresses));
        assert_eq!(part(&fresh, second_id), None);
        assert_eq!(part(&fresh, NetnsId::Own), None);
        let changed = renew(&mut discover, &mut snapshot, &fresh);
        assert_eq!(changed, Changed::Children(BTreeSet::from([first_id])));
        let again = renew(&mut discover, &mut snapshot, &fresh);
        assert_eq!(again, Changed::Children(BTreeSet::new()));

        second.ip("link set child0 down");
        let fresh = dirty(&mut watch, &mut discover, &snapshot).await;
        assert_eq!(part(&fresh, first_id), None);
        assert_eq!(part(&fresh, second_id), Some(Part::Links));
        let changed = renew(&mut discover, &mut snapshot, &fresh);
        assert_eq!(changed, Changed::Children(BTreeSet::from([second_id])));

        // Our own has an nsid, too, and is not taken for another.
        ip(&format!("addr add 192.0.2.1/24 dev {PARENT}"));
        let fresh = dirty(&mut watch, &mut discover, &snapshot).await;
        assert_eq!(part(&fresh, NetnsId::Own), Some(Part::Addresses));
        assert_eq!(part(&fresh, first_id), None);
        let changed = renew(&mut discover, &mut snapshot, &fresh);
        assert_eq!(changed, Changed::Anything);
        let mut held = snapshot.host.addresses.iter();
        assert!(held.any(|it| it.address == super::lab::address("192.0.2.1")));
    });
}

#[test]
fn a_netns_that_is_gone_is_forgotten_by_looking_at_it_alone() {
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let mut discover = discover();
        let (steady, brief) = (Unnamed::new(), Unnamed::new());
        for netns in [&steady, &brief] {
            netns.create_child("child0");
        }
        let mut snapshot = everything(&mut discover);
        settle(&mut watch).await;
        let id = snapshot
            .netnses
            .iter()
            .find(|it| it.pid == Some(brief.pid()))
            .expect("its netns")
            .id;
        drop(brief);
        let deadline = Instant::now() + DEADLINE;
        let mut fresh = Dirty::default();
        while !fresh.parts.contains_key(&id) {
            assert!(Instant::now() < deadline, "{fresh:?}");
            fresh.add(dirty(&mut watch, &mut discover, &snapshot).await);
        }
        assert!(fresh.everything);
        renew(&mut discover, &mut snapshot, &fresh);
        assert_eq!(snapshot.children.len(), 1);
        assert_ne!(snapshot.children[0].netns, id);
        assert_eq!(snapshot.netns(id), None);
    });
}

#[test]
fn what_does_not_fit_the_rest_is_read_with_the_rest() {
    in_fresh_netns(async || {
        let mut discover = discover();
        let netns = Unnamed::new();
        // No child of this parent was known, so its settings are not either.
        let mut snapshot = everything(&mut discover);
        netns.create_child("child0");
        let whole = discover.snapshot(Scope::Everything, None).expect("whole");
        let id = whole.children[0].netns;
        let parts = BTreeMap::from([(id, Part::Links)]);
        let changed = discover.renew(&mut snapshot, &parts, None).expect("renew");
        assert_eq!(changed.changed, Changed::Anything);
        assert_eq!(bare(snapshot), bare(whole));
    });
}

#[test]
fn a_netns_that_keeps_changing_holds_no_other_up_and_is_not_shown_in_part() {
    const MANY: usize = 3000;
    in_fresh_netns(async || {
        let mut discover = discover();
        let (busy, quiet) = (Unnamed::new(), Unnamed::new());
        for netns in [&busy, &quiet] {
            netns.create_child("child0");
            netns.ip("link set child0 up");
        }
        let address = |number| format!("10.{}.{}.1/32", number / 250, number % 250);
        let add = |number| format!("addr add {} dev child0", address(number));
        ip_batch(Some(&busy), (0..MANY).map(add));
        let mut snapshot = everything(&mut discover);
        let of = |snapshot: &Snapshot, netns: &Unnamed| {
            let mut all = snapshot.netnses.iter();
            let found = all.find(|it| it.pid == Some(netns.pid()));
            found.expect("its netns").id
        };
        let (busy_id, quiet_id) = (of(&snapshot, &busy), of(&snapshot, &quiet));
        let parts = BTreeMap::from([(busy_id, Part::Links), (quiet_id, Part::Links)]);
        let mut left_dirty = 0;
        std::thread::scope(|scope| {
            let churn = scope.spawn(|| {
                // The last of them comes and goes, the others stay.
                let change = |turn| {
                    let verb = if turn % 2 == 0 { "del" } else { "add" };
                    format!("addr {verb} {} dev child0", address(MANY - 1))
                };
                ip_batch(Some(&busy), (0..10_000).map(change));
            });
            let mut rounds = 0_u8;
            while !churn.is_finished() {
                let last = 100 + rounds % 100;
                quiet.try_ip(&format!("addr add 192.0.2.{last}/24 dev child0"));
                let renewed = if rounds.is_multiple_of(2) {
                    discover.renew(&mut snapshot, &parts, None)
                } else {
                    discover.renew_all(&mut snapshot, Scope::KnownNetns, None)
                };
                let renewed = renewed.expect("renewed while one netns changes");
                left_dirty += usize::from(renewed.dirty.contains_key(&busy_id));
                assert!(!renewed.dirty.contains_key(&quiet_id));
                let seen = |id| &snapshot.children_of(id)[0].addresses;
                let expected = super::lab::address(&format!("192.0.2.{last}"));
                assert!(seen(quiet_id).iter().any(|it| it.local == expected));
                let held = seen(busy_id).iter().filter(|it| it.local.is_ipv4());
                let held = held.count();
                assert!((MANY - 1..=MANY).contains(&held), "{held} of {MANY}");
                rounds = rounds.wrapping_add(1);
            }
            churn.join().expect("churn");
        });
        println!("left dirty {left_dirty} times");
        assert!(left_dirty > 0);
    });
}
