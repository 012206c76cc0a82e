//! Who gets room in a map that is too small, whatever the netns ask for. Rows for maps of the kernel are in
//! `tests/prog_maps.rs`.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipvlan_common::{Delivery, Reason};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::model::{AnsweredTo, Reach};

const HOST: DesiredEntry = DesiredEntry::Host {
    router: false,
    optimistic: false,
    refusal: None,
    answered_to: AnsweredTo::All,
    watched: true,
};

fn child(nsid: i32) -> ChildKey {
    ChildKey {
        netns: if nsid == 0 {
            NetnsId::Own
        } else {
            NetnsId::Nsid(nsid)
        },
        ifindex: 10 + nsid.unsigned_abs(),
    }
}

fn of_child(nsid: i32, refusal: Option<Reason>) -> DesiredEntry {
    DesiredEntry::Child {
        child: child(nsid),
        delivery: Delivery::Pass,
        refusal,
        arp_by_kernel: false,
        router: false,
        optimistic: false,
        reach: Reach::default(),
        barred: false,
    }
}

fn v4(number: usize) -> IpAddr {
    let number = u32::try_from(number).expect("a small number");
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn v6(number: usize) -> IpAddr {
    let number = u128::try_from(number).expect("a small number");
    Ipv6Addr::from_bits((0x2001_0db8 << 96) + number).into()
}

/// Addresses one after another: so many of each.
fn addresses(all: &[(usize, DesiredEntry)]) -> BTreeMap<IpAddr, DesiredEntry> {
    let all = all
        .iter()
        .flat_map(|&(count, wanted)| std::iter::repeat_n(wanted, count));
    (0..).map(v4).zip(all).collect()
}

/// The maps when all has been written that has room.
fn written(desired: &BTreeMap<IpAddr, DesiredEntry>, left_out: &LeftOut) -> Addresses {
    desired
        .iter()
        .filter(|(address, _)| !left_out.contains(**address))
        .map(|(&address, wanted)| (address, wanted.entry(|_| 0)))
        .collect()
}

/// How many addresses a netns has in the maps.
fn of_netns(
    desired: &BTreeMap<IpAddr, DesiredEntry>,
    left_out: &LeftOut,
    nsid: i32,
    refusal: Option<Reason>,
) -> usize {
    desired
        .iter()
        .filter(|(address, wanted)| {
            !left_out.contains(**address) && **wanted == of_child(nsid, refusal)
        })
        .count()
}

const REFUSED: Option<Reason> = Some(Reason::NotAllowed);

#[test]
fn one_netns_leaves_a_quarter_to_others_and_does_not_decide_what_is_dropped() {
    let flood = addresses(&[(4, HOST), (200, of_child(1, None))]);
    let alone = left_out(&flood, &Addresses::new(), 64);
    assert_eq!(of_netns(&flood, &alone, 1, None), 48);
    assert!(alone.is_uncertain, "there is nobody else to be protected");

    let mut desired = flood.clone();
    desired.extend((300..312).map(|number| (v4(number), of_child(2, None))));
    let both = left_out(&desired, &written(&flood, &alone), 64);
    assert_eq!(of_netns(&desired, &both, 2, None), 12);
    assert_eq!(of_netns(&desired, &both, 1, None), 48);
    assert!(!both.is_uncertain);
    // More than there is room for: now a station may ask for an address that is not in the map.
    desired.insert(v4(400), of_child(2, None));
    assert!(left_out(&desired, &written(&flood, &alone), 64).is_uncertain);
}

#[test]
fn addresses_that_may_be_answered_at_any_moment_keep_their_room() {
    for (refusal, keeps) in [
        (None, true),
        (Some(Reason::Probing), true),
        (Some(Reason::Duplicate), true),
        (Some(Reason::Tentative), true),
        (Some(Reason::ParentDown), true),
        (Some(Reason::ChildDown), false),
        (Some(Reason::Denied), false),
        (Some(Reason::GatewayAddress), false),
    ] {
        let installed = written(
            &addresses(&[(16, of_child(1, refusal))]),
            &LeftOut::default(),
        );
        let desired = addresses(&[(16, of_child(1, refusal)), (8, of_child(2, None))]);
        let left_out = left_out(&desired, &installed, 16);
        let expected = if keeps { 16 } else { 8 };
        assert_eq!(
            of_netns(&desired, &left_out, 1, refusal),
            expected,
            "{refusal:?}"
        );
    }
}

fn wanted() -> impl Strategy<Value = DesiredEntry> {
    let refusals = vec![
        None,
        None,
        None,
        REFUSED,
        Some(Reason::ChildDown),
        Some(Reason::Probing),
    ];
    prop_oneof![
        1 => Just(HOST),
        1 => Just(DesiredEntry::Gateway),
        8 => (0..4_i32, select(refusals)).prop_map(|(nsid, refusal)| of_child(nsid, refusal)),
    ]
}

fn desired() -> impl Strategy<Value = BTreeMap<IpAddr, DesiredEntry>> {
    vec((0..40_usize, any::<bool>(), wanted()), 0..60).prop_map(|all| {
        all.into_iter()
            .map(|(number, is_v4, wanted)| (if is_v4 { v4(number) } else { v6(number) }, wanted))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn room_is_shared_as_promised(
        before in desired(),
        desired in desired(),
        capacity in 1..24_usize,
    ) {
        let installed = written(&before, &left_out(&before, &Addresses::new(), capacity));
        let left = left_out(&desired, &installed, capacity);
        let now = written(&desired, &left);
        for family in [true, false] {
            let of_family = |address: &IpAddr| address.is_ipv4() == family;
            let wanted: BTreeMap<IpAddr, DesiredEntry> = desired
                .iter()
                .filter(|(address, _)| of_family(address))
                .map(|(&address, &wanted)| (address, wanted))
                .collect();
            let admitted = now.keys().filter(|address| of_family(address)).count();
            prop_assert!(admitted <= capacity);
            // The host's are in if they fit, and gateways' then.
            let hosts = wanted.values().filter(|it| matches!(it, DesiredEntry::Host { .. })).count();
            let held = wanted.values().filter(|it| it.child().is_none()).count();
            for (address, it) in &wanted {
                let fits = match it {
                    DesiredEntry::Host { .. } => hosts <= capacity,
                    DesiredEntry::Gateway | DesiredEntry::Control => held <= capacity,
                    DesiredEntry::Child { .. } => continue,
                };
                prop_assert!(!fits || now.contains_key(address));
            }
            let waiting: Vec<_> = wanted.iter().filter(|(address, _)| left.waiting.contains(*address)).collect();
            let count = |netns, only_new: bool| wanted.iter().filter(|(address, it)| {
                it.needs_room()
                    && it.child().is_some_and(|child| child.netns == netns)
                    && now.contains_key(*address)
                    && !(only_new && it.child().is_some_and(|child| is_installed(&installed, **address, child)))
            }).count();
            for (address, it) in &waiting {
                let Some(child) = it.child() else { continue };
                let netns = child.netns;
                let is_live = is_installed(&installed, **address, child);
                // An installed one goes only for the host's, or where the host's and the installed are too many.
                let installed_wanted = wanted.iter().filter(|(address, it)| {
                    it.needs_room() && it.child().is_some_and(|child| is_installed(&installed, **address, child))
                }).count();
                if is_live {
                    prop_assert!(held + installed_wanted > capacity);
                }
                // Refused ones have no room while others wait, unless these are at their limit.
                let is_limited = netns != NetnsId::Own && count(netns, false) >= most_of_netns(capacity);
                if !is_limited {
                    prop_assert_eq!(admitted, capacity, "room is left");
                    let has_refused = wanted.iter().any(|(address, it)| {
                        it.child().is_some() && !it.needs_room() && now.contains_key(address)
                    });
                    prop_assert!(!has_refused, "refused ones have it");
                    prop_assert!(left.is_uncertain);
                    // No other got new ones beyond what this one has.
                    for other in [NetnsId::Own, NetnsId::Nsid(1), NetnsId::Nsid(2), NetnsId::Nsid(3)] {
                        if !is_live && other != netns && count(other, true) > 0 {
                            prop_assert!(count(other, false) <= count(netns, false) + 1);
                        }
                    }
                }
            }
        }
        // The same again, and nothing changes.
        prop_assert_eq!(left_out(&desired, &now, capacity).waiting, left.waiting.clone());
        prop_assert_eq!(left_out(&desired, &now, capacity), left);
    }
}
