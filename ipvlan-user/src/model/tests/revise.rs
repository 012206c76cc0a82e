//! What is decided anew of some children is what is decided of all.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    property::{ADDRESSES, addresses, policies},
    *,
};

/// Children in three netns, two of each, some of another parent, that do or do not have addresses.
pub(super) fn children() -> impl Strategy<Value = Vec<Child>> {
    let of_one = (
        vec(addresses(), 0..6),
        prop::bool::weighted(0.8),
        any::<bool>(),
        select(vec![Arp::All, Arp::OnlyIpv6, Arp::None]),
        prop::bool::weighted(0.85),
        prop::bool::weighted(0.85),
    );
    vec(of_one, 6).prop_map(|all| {
        (0..)
            .zip(all)
            .filter(|(_, (.., exists))| *exists)
            .map(
                |(index, (addresses, up, forwarding, arp, is_ours, _))| Child {
                    netns: NetnsId::Nsid(index / 2),
                    addresses,
                    up,
                    arp,
                    forwarding,
                    parent_ifindex: if is_ours { PARENT } else { PARENT + 1 },
                    ..child(7 + index.unsigned_abs() % 2, &[])
                },
            )
            .collect()
    })
}

/// Files that each of the three netns may be bound to.
fn files() -> impl Strategy<Value = [Vec<String>; 3]> {
    let of_one = select(vec![
        "/run/netns/blue",
        "/run/netns/red1",
        "/other/blue",
        "",
    ])
    .prop_map(|file| -> Vec<String> {
        [file]
            .iter()
            .filter(|it| !it.is_empty())
            .map(ToString::to_string)
            .collect()
    });
    prop::array::uniform3(of_one)
}

fn netnses(files: &[Vec<String>; 3]) -> Vec<Netns> {
    (0..)
        .zip(files)
        .map(|(nsid, files)| Netns {
            id: NetnsId::Nsid(nsid),
            files: files.clone(),
            ..Netns::default()
        })
        .collect()
}

/// The children of these netns from `now`, of the others from `before`.
fn mixed(before: &[Child], now: &[Child], changed: &BTreeSet<NetnsId>) -> Vec<Child> {
    let of = |children: &[Child], wanted: bool| -> Vec<Child> {
        let all = children.iter();
        all.filter(|child| changed.contains(&child.netns) == wanted)
            .cloned()
            .collect()
    };
    let mut mixed = of(before, false);
    mixed.extend(of(now, true));
    mixed.sort_by_key(|child| (child.netns, child.ifindex));
    mixed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_revision_gives_what_deciding_everything_gives(
        steps in vec((children(), files(), select(vec![vec![0], vec![1], vec![2], vec![0, 1], vec![1, 2]])), 2..5),
        own in vec(select(&ADDRESSES), 0..2),
        // Next hops of routes that come after the first children, and how many addresses a netns may have.
        next_hops in vec(select(&ADDRESSES), 0..4),
        quota in select(vec![3, 6, usize::MAX]),
        policy in policies(),
    ) {
        let own = own_child(6, &own);
        let mut gateways = BTreeSet::new();
        let (first, later) = steps.split_first().unwrap();
        let with_own = |children: &[Child], files: &[Vec<String>; 3], gateways: &BTreeSet<Gateway>| {
            let mut all = vec![own.clone()];
            all.extend_from_slice(children);
            let mut snapshot = Snapshot {
                netnses: netnses(files),
                ..snapshot(all)
            };
            snapshot.host.gateways.extend(gateways);
            snapshot
        };
        let (mut children, mut files) = (first.0.clone(), first.1.clone());
        let mut history = History::default();
        history.set_quota(quota);
        let mut revised = Desired::default();
        for _ in 0..2 {
            let snapshot = with_own(&children, &files, &gateways);
            let link = &snapshot.links[0];
            history.update(&snapshot, link, &policy, &revised, &written(&revised));
            revised = desired_after(&history, &snapshot, link, &policy, &BTreeMap::new());
            gateways.extend(next_hops.iter().map(|text| Gateway {
                address: cidr(text).local,
                oif: Some(PARENT),
            }));
        }
        for (now, files_now, changed) in later {
            let before = revised.clone();
            for &nsid in changed {
                let index = usize::try_from(nsid).unwrap();
                files[index].clone_from(&files_now[index]);
            }
            let changed = changed.iter().map(|&nsid| NetnsId::Nsid(nsid)).collect();
            children = mixed(&children, now, &changed);
            let snapshot = with_own(&children, &files, &gateways);
            let link = &snapshot.links[0];
            let installed = written(&revised);
            let mut of_all = history.clone();
            of_all.update(&snapshot, link, &policy, &revised, &installed);
            history.update_children(&snapshot, link, &policy, &revised, &installed, Some(&changed));
            let none = BTreeMap::new();
            let revision = revised.revise(&history, &snapshot, link, &policy, &changed, &none);
            let whole = desired_after(&of_all, &snapshot, link, &policy, &none);
            prop_assert_eq!(&revised, &whole);
            for netns in (0..3).map(NetnsId::Nsid) {
                let of_netns = revised.children.iter().filter(|view| view.key.netns == netns);
                let addresses = of_netns.flat_map(|view| &view.addresses);
                let kept = addresses.filter(|it| it.refusal != Some(Reason::OverQuota));
                prop_assert!(kept.count() <= quota);
            }
            // Every difference is reported.
            for address in before.addresses.keys().chain(whole.addresses.keys()) {
                if before.addresses.get(address) != whole.addresses.get(address) {
                    prop_assert!(revision.addresses.contains(address), "{}", address);
                }
            }
            if before.conflicts != whole.conflicts {
                prop_assert!(revision.conflicts);
            }
            let keys = |desired: &Desired| -> Vec<_> {
                desired.children.iter().map(|view| (view.key, view.name.clone())).collect()
            };
            if keys(&before) != keys(&whole) {
                prop_assert!(revision.children);
            }
        }
    }
}

#[test]
fn of_a_child_with_many_addresses_only_the_new_one_is_decided() {
    let many: Vec<String> = (1..200)
        .map(|last| format!("172.16.91.{last}/24"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let before = snapshot(vec![child(7, &many[100..150])]);
    let mut revised = usual(&before);
    let netnses = BTreeSet::from([key(7).netns]);
    for (now, expected) in [
        (&many[100..151], &many[150..151]),
        (&many[101..151], &many[100..101]),
        (&many[101..151], &[][..]),
    ] {
        let now = snapshot(vec![child(7, now)]);
        let revision = revised.revise(
            &History::default(),
            &now,
            &now.links[0],
            &Policy::default(),
            &netnses,
            &BTreeMap::new(),
        );
        let expected = expected.iter().map(|text| cidr(text).local).collect();
        assert_eq!(revision.addresses, expected);
        assert!(!revision.children && !revision.conflicts);
        assert_eq!(revised, usual(&now));
    }
}
