//! What is renewed of a snapshot is what a whole one shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ipvlan_user::{
    discover::{Changed, Dirty, Part, Scope},
    facts::{Child, LinkStats, Netns, NetnsId, Snapshot},
};

use super::lab::{Container, DEADLINE, Lab, PARENT, address, ip, on_host, try_ip};

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

    /// An index of a list of this length.
    pub(super) fn pick(&mut self, len: usize) -> usize {
        usize::try_from(self.roll(len as u64)).unwrap()
    }
}

#[test]
fn after_any_changes_the_renewed_snapshot_is_the_whole_one() {
    on_host(async |mut lab| {
        let containers = lab.nine_children().await;
        let mut snapshot = lab.everything();
        assert_eq!(snapshot.children.len(), 9);
        lab.settle().await;

        let mut dice = Dice(1);
        let mut partial = 0;
        for round in 0..40 {
            for _ in 0..=dice.roll(3) {
                change(&mut dice, &containers);
            }
            let deadline = Instant::now() + DEADLINE;
            loop {
                let dirty = lab.dirty(&snapshot).await;
                if dirty.everything {
                    snapshot = lab.everything();
                } else {
                    partial += 1;
                    let before = snapshot.clone();
                    let changed = lab.renew(&mut snapshot, &dirty);
                    assert_only_changed(&before, &snapshot, &changed);
                }
                // Duplicate address detection ended meanwhile; then that wakes.
                if is_whole(&mut lab, &snapshot, deadline, round) {
                    break;
                }
            }
        }
        assert!(partial >= 5, "{partial} of 40 rounds or more were partial");
    });
}

/// Whether a snapshot shows what a whole one does. It must until the deadline.
#[track_caller]
pub(super) fn is_whole(lab: &mut Lab, shown: &Snapshot, deadline: Instant, round: u32) -> bool {
    let (shown, whole) = (bare(shown.clone()), bare(lab.known()));
    let in_time = shown == whole || Instant::now() < deadline;
    assert!(in_time, "round {round}: {shown:#?} is not {whole:#?}");
    shown == whole
}

/// Does something that may fail, as the removal of what is not there does.
pub(super) fn change(dice: &mut Dice, containers: &[Container]) {
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
    match containers.get(dice.pick(containers.len() + 1)) {
        Some(container) => container.try_ip(command.split(' ')),
        None => drop(try_ip(command.replace("child1", PARENT).split(' '))),
    }
}

/// What is said to have changed is all that did.
pub(super) fn assert_only_changed(before: &Snapshot, now: &Snapshot, changed: &Changed) {
    let Changed::Children(netnses) = changed else {
        return;
    };
    let of_others = |snapshot: &Snapshot| {
        let mut snapshot = bare(snapshot.clone());
        let is_other = |child: &Child| !netnses.contains(&child.netns);
        snapshot.children.retain(is_other);
        (snapshot.host, snapshot.links, snapshot.children)
    };
    assert_eq!(of_others(before), of_others(now));
}

/// Two containers with a child each, which is up.
fn two_containers() -> (Container, Container) {
    let both = [(); 2].map(|()| Container::with_child());
    for container in &both {
        container.ip("link set child0 up");
    }
    both.into()
}

#[test]
fn an_address_makes_its_own_netns_stale_and_no_other() {
    on_host(async |mut lab| {
        let (first, second) = two_containers();
        let mut snapshot = lab.everything();
        // Duplicate address detection of the links just made takes up to two seconds.
        tokio::time::sleep(Duration::from_secs(3)).await;
        lab.settle().await;
        let (first_id, second_id) = (first.id(&snapshot), second.id(&snapshot));
        // Other tests make netns on this machine, too.
        let parts = |dirty: &Dirty| {
            [first_id, second_id, NetnsId::Own].map(|id| dirty.parts.get(&id).copied())
        };

        first.ip("addr add 192.0.2.7/24 dev child0");
        let dirty = lab.dirty(&snapshot).await;
        assert_eq!(parts(&dirty), [Some(Part::Addresses), None, None]);
        let changed = lab.renew(&mut snapshot, &dirty);
        assert_eq!(changed, Changed::Children(BTreeSet::from([first_id])));
        let again = lab.renew(&mut snapshot, &dirty);
        assert_eq!(again, Changed::Children(BTreeSet::new()));

        second.ip("link set child0 down");
        let dirty = lab.dirty(&snapshot).await;
        assert_eq!(parts(&dirty)[..2], [None, Some(Part::Links)]);
        let changed = lab.renew(&mut snapshot, &dirty);
        assert_eq!(changed, Changed::Children(BTreeSet::from([second_id])));

        // Our own has an nsid, too, and is not taken for another.
        ip(&format!("addr add 192.0.2.1/24 dev {PARENT}"));
        let dirty = lab.dirty(&snapshot).await;
        let [of_first, _, own] = parts(&dirty);
        assert_eq!((of_first, own), (None, Some(Part::Addresses)));
        assert_eq!(lab.renew(&mut snapshot, &dirty), Changed::Anything);
        let mut held = snapshot.host.addresses.iter();
        assert!(held.any(|it| it.address == address("192.0.2.1")));
    });
}

#[test]
fn a_netns_that_is_gone_is_forgotten_by_looking_at_it_alone() {
    on_host(async |mut lab| {
        let (_steady, brief) = two_containers();
        let mut snapshot = lab.everything();
        lab.settle().await;
        let id = brief.id(&snapshot);
        drop(brief);
        let deadline = Instant::now() + DEADLINE;
        let mut dirty = Dirty::default();
        while !dirty.parts.contains_key(&id) {
            assert!(Instant::now() < deadline, "{dirty:?}");
            dirty.add(lab.dirty(&snapshot).await);
        }
        assert!(dirty.everything);
        lab.renew(&mut snapshot, &dirty);
        assert_eq!(snapshot.children.len(), 1);
        assert_ne!(snapshot.children[0].netns, id);
        assert_eq!(snapshot.netns(id), None);
    });
}

#[test]
fn what_does_not_fit_the_rest_is_read_with_the_rest() {
    on_host(async |mut lab| {
        let container = Container::new();
        // No child of this parent was known, so its settings are not either.
        let mut snapshot = lab.everything();
        container.create_child("child0");
        let whole = lab.everything();
        let parts = BTreeMap::from([(whole.children[0].netns, Part::Links)]);
        let renewed = lab.discover.renew(&mut snapshot, &parts, None);
        assert_eq!(renewed.unwrap().changed, Changed::Anything);
        assert_eq!(bare(snapshot), bare(whole));
    });
}

#[test]
fn a_netns_that_keeps_changing_holds_no_other_up_and_is_not_shown_in_part() {
    const MANY: usize = 3000;
    on_host(async |mut lab| {
        let (busy, quiet) = two_containers();
        let of = |number| format!("10.{}.{}.1/32 dev child0", number / 250, number % 250);
        busy.ip_batch((0..MANY).map(|number| format!("addr add {}", of(number))));
        let mut snapshot = lab.everything();
        let (busy_id, quiet_id) = (busy.id(&snapshot), quiet.id(&snapshot));
        let parts = BTreeMap::from([(busy_id, Part::Links), (quiet_id, Part::Links)]);
        let mut left_dirty = 0;
        std::thread::scope(|scope| {
            let churn = scope.spawn(|| {
                // The last of them comes and goes, the others stay.
                let change =
                    |turn: usize| format!("addr {} {}", ["del", "add"][turn % 2], of(MANY - 1));
                busy.ip_batch((0..10_000).map(change));
            });
            let mut rounds = 0_u8;
            while !churn.is_finished() {
                let last = 100 + rounds % 100;
                let add = format!("addr add 192.0.2.{last}/24 dev child0");
                quiet.try_ip(add.split(' '));
                let renewed = if rounds.is_multiple_of(2) {
                    lab.discover.renew(&mut snapshot, &parts, None)
                } else {
                    let known = Scope::KnownNetns;
                    lab.discover.renew_all(&mut snapshot, known, None)
                };
                let renewed = renewed.expect("renewed while one netns changes");
                left_dirty += usize::from(renewed.dirty.contains_key(&busy_id));
                assert!(!renewed.dirty.contains_key(&quiet_id));
                let held = |id| snapshot.children_of(id)[0].addresses.iter();
                let expected = address(&format!("192.0.2.{last}"));
                assert!(held(quiet_id).any(|it| it.local == expected));
                let held = held(busy_id).filter(|it| it.local.is_ipv4()).count();
                assert!((MANY - 1..=MANY).contains(&held), "{held} of {MANY}");
                rounds = rounds.wrapping_add(1);
            }
            churn.join().unwrap();
        });
        println!("left dirty {left_dirty} times");
        assert!(left_dirty > 0);
    });
}
