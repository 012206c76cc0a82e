//! Every rule that applies to an address, of which the first decides.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    property::{ADDRESSES, policies},
    revise::children,
    *,
};

/// Returns the reasons of the rules that apply to the address of the only child that has it.
fn reasons(
    snapshot: &Snapshot,
    policy: &Policy,
    withheld: &BTreeMap<IpAddr, Reason>,
    text: &str,
) -> Vec<Reason> {
    let history = History::default();
    let parent = &snapshot.links[0];
    let decided = desired(snapshot, parent, policy, withheld);
    let claims = decided.claims(
        &history,
        snapshot,
        parent,
        policy,
        withheld,
        cidr(text).local,
    );
    let [claim] = &claims[..] else {
        panic!("{text}: {claims:?}");
    };
    assert_eq!(
        claim.address.refusal,
        claim.refusals.first().map(|it| it.reason)
    );
    claim
        .refusals
        .iter()
        .map(|refusal| refusal.reason)
        .collect()
}

#[test]
fn every_rule_that_applies_is_named_in_the_order_of_the_decision() {
    use Reason::{
        ChildDown, DadFailed, Denied, Duplicate, GatewayAddress, HostAddress, NotAllowed,
        ParentDown, PeerAddress, Silent, TargetBroadcast, TargetLinkLocal, Tentative,
    };
    // Address, what is wrong, reasons.
    let rows: [(&str, &str, &[Reason]); 13] = [
        (CHILD, "", &[]),
        (CHILD, "down", &[ChildDown]),
        (
            CHILD,
            "down parent-down withheld",
            &[ChildDown, ParentDown, Duplicate],
        ),
        (
            CHILD,
            "denied silent down parent-down withheld",
            &[Denied, NotAllowed, Silent, ChildDown, ParentDown, Duplicate],
        ),
        (CHILD_V6, "failed tentative down", &[DadFailed, ChildDown]),
        (CHILD_V6, "tentative parent-down", &[ParentDown, Tentative]),
        // It is tentative because the child is down.
        (CHILD_V6, "tentative down", &[ChildDown]),
        (
            "172.16.91.14/24",
            "denied",
            &[HostAddress, Denied, NotAllowed],
        ),
        ("172.16.91.2/24", "down", &[GatewayAddress, ChildDown]),
        ("172.16.91.255/24", "down", &[TargetBroadcast, ChildDown]),
        ("169.254.3.4/16", "withheld", &[TargetLinkLocal, Duplicate]),
        (CHILD, "peer down", &[PeerAddress, ChildDown]),
        ("fe80::9/64", "denied", &[Denied]),
    ];
    for (text, wrong, expected) in rows {
        let is = |word| wrong.split(' ').any(|it| it == word);
        let mut child = child(7, &[text]);
        let flag = |word, flag| if is(word) { flag } else { 0 };
        child.addresses[0].flags =
            flag("failed", libc::IFA_F_DADFAILED) | flag("tentative", libc::IFA_F_TENTATIVE);
        child.addresses[0].peer = is("peer").then(|| address("10.9.9.2"));
        child.up = !is("down");
        child.arp = if is("silent") {
            Arp::OnlyIpv6
        } else {
            Arp::All
        };
        let mut snapshot = snapshot(vec![child]);
        snapshot.links[0].up = !is("parent-down");
        let withheld = is("withheld").then_some((cidr(text).local, Duplicate));
        let denied = Policy {
            deny: vec![
                "172.16.0.0/12".parse().unwrap(),
                "fe80::/10".parse().unwrap(),
            ],
            ..allowing(&["10.0.0.0/8"])
        };
        let policy = if is("denied") {
            denied
        } else {
            Policy::default()
        };
        let found = reasons(&snapshot, &policy, &withheld.into_iter().collect(), text);
        assert_eq!(found, expected, "{text} {wrong}");
    }
}

#[test]
fn rule_of_a_child_is_named_apart_from_the_settings_for_all_with_the_prefix_that_denies() {
    let rule = |deny: &str, answer| Rule {
        name: vec!["ipvlan7".parse().unwrap()],
        deny: vec![deny.parse().unwrap()],
        answer,
        ..Rule::default()
    };
    let rows = [
        (
            rule("172.16.91.0/24", true),
            [
                (Some("172.16.0.0/12"), false),
                (Some("172.16.91.0/24"), true),
            ],
        ),
        (
            rule("172.16.91.0/24", false),
            [(Some("172.16.0.0/12"), false), (None, true)],
        ),
    ];
    for (rule, expected) in rows {
        let policy = Policy {
            deny: vec![
                "10.0.0.0/8".parse().unwrap(),
                "172.16.0.0/12".parse().unwrap(),
            ],
            rules: vec![rule],
            ..Policy::default()
        };
        let snapshot = snapshot(vec![child(7, &[CHILD])]);
        let decided = decide(&snapshot, &policy);
        let (history, none) = (History::default(), BTreeMap::new());
        let parent = &snapshot.links[0];
        let claims = decided.claims(
            &history,
            &snapshot,
            parent,
            &policy,
            &none,
            cidr(CHILD).local,
        );
        let found: Vec<_> = claims[0].refusals.iter().collect();
        let expected = expected.map(|(prefix, is_of_rule)| Refusal {
            reason: Reason::Denied,
            prefix: prefix.map(|prefix| prefix.parse().unwrap()),
            is_of_rule,
        });
        assert_eq!(found, expected.iter().collect::<Vec<_>>());
    }
}

#[test]
fn address_beyond_a_quota_has_that_reason_first() {
    let mut history = History::default();
    history.set_quota(1);
    let mut of_child = child(7, &["172.16.91.101/24", "172.16.91.102/24"]);
    of_child.up = false;
    let snapshot = snapshot(vec![of_child]);
    let (parent, policy, none) = (&snapshot.links[0], Policy::default(), BTreeMap::new());
    let decided = desired_after(&history, &snapshot, parent, &policy, &none);
    let reasons = |text| {
        let claims = decided.claims(&history, &snapshot, parent, &policy, &none, address(text));
        let refusals = claims[0].refusals.iter().map(|it| it.reason);
        refusals.collect::<Vec<_>>()
    };
    assert_eq!(reasons("172.16.91.101"), [Reason::ChildDown]);
    assert_eq!(
        reasons("172.16.91.102"),
        [Reason::OverQuota, Reason::ChildDown]
    );
    assert_eq!(
        decided.claims(
            &history,
            &snapshot,
            parent,
            &policy,
            &none,
            address("10.9.9.9")
        ),
        []
    );
}

#[test]
fn reserved_address_has_a_reason_whoever_has_it() {
    let snapshot = snapshot(Vec::new());
    for (text, expected) in [
        ("172.16.91.255", Some(Reason::TargetBroadcast)),
        ("255.255.255.255", Some(Reason::TargetBroadcast)),
        ("224.0.0.1", Some(Reason::TargetMulticast)),
        ("ff02::1", Some(Reason::TargetMulticast)),
        ("127.0.0.1", Some(Reason::TargetLoopback)),
        ("0.0.0.0", Some(Reason::TargetUnspecified)),
        ("::ffff:10.0.0.1", Some(Reason::TargetV4Mapped)),
        ("172.16.91.254", None),
        ("2001:db8::1", None),
    ] {
        let found = reserved(&snapshot, &snapshot.links[0], address(text));
        assert_eq!(found, expected, "{text}");
    }
}

proptest! {
    #[test]
    fn first_rule_is_the_decision(
        children in children(),
        policy in policies(),
        held in vec(select(&ADDRESSES), 0..3),
        is_parent_up in prop::bool::weighted(0.8),
        quota in select(vec![1, 2, usize::MAX]),
    ) {
        let withheld = held
            .iter()
            .map(|text| (cidr(text).local, Reason::Probing))
            .collect();
        let mut snapshot = snapshot(children);
        snapshot.links[0].up = is_parent_up;
        let mut history = History::default();
        history.set_quota(quota);
        let parent = &snapshot.links[0];
        let decided = desired_after(&history, &snapshot, parent, &policy, &withheld);
        let mut seen = 0;
        let mut claimed = 0;
        for text in ADDRESSES {
            let address = cidr(text).local;
            let of_views = decided.children.iter().flat_map(|view| &view.addresses);
            seen += of_views.filter(|view| view.address == address).count();
            let claims = decided.claims(&history, &snapshot, parent, &policy, &withheld, address);
            claimed += claims.len();
            for claim in claims {
                let first = claim.refusals.first().map(|refusal| refusal.reason);
                prop_assert_eq!(first, claim.address.refusal, "{} {:?}", text, claim);
                let is_withheld = withheld.contains_key(&address);
                let names = |reason| claim.refusals.iter().any(|it| it.reason == reason);
                prop_assert_eq!(names(Reason::Probing), is_withheld);
                prop_assert_eq!(names(Reason::ParentDown), !is_parent_up);
                prop_assert_eq!(names(Reason::ChildDown), !claim.child.up);
                let is_denied = policy.deny.iter().any(|prefix| prefix.contains(address));
                prop_assert!(!is_denied || names(Reason::Denied));
            }
        }
        prop_assert_eq!(seen, claimed);
    }
}
