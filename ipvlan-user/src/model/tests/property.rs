//! What holds whatever the snapshot shows.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{revise::children, *};
use crate::model::owners::{is_link_local, is_link_local_v6};

/// Addresses of all sorts, few enough that several children get the same one.
pub(super) const ADDRESSES: [&str; 20] = [
    "172.16.91.101/24",
    "172.16.91.102/24",
    "10.0.1.10/24",
    "10.0.1.255/24",
    "172.16.91.14/24",
    "172.16.91.2/24",
    "169.254.3.4/16",
    "127.0.0.1/8",
    "224.0.0.5/32",
    "0.0.0.0/32",
    "2001:db8:91::101/64",
    "2001:db8:91::102/64",
    "2001:db8:7::101/64",
    "2001:db8:91::14/64",
    "fe80::101/64",
    "fe80::14/64",
    "fe80::2/64",
    "ff02::1/128",
    "::1/128",
    "::ffff:10.0.0.1/128",
];

pub(super) fn addresses() -> impl Strategy<Value = ChildAddress> {
    let flags = select(vec![
        0,
        0,
        libc::IFA_F_TENTATIVE,
        libc::IFA_F_OPTIMISTIC,
        libc::IFA_F_DADFAILED,
    ]);
    (select(&ADDRESSES), flags, prop::bool::weighted(0.1)).prop_map(|(text, flags, has_peer)| {
        ChildAddress {
            flags,
            peer: has_peer.then(|| address("10.9.9.2")),
            ..cidr(text)
        }
    })
}

pub(super) fn policies() -> impl Strategy<Value = Policy> {
    let prefixes = || {
        let texts = [
            "172.16.91.0/24",
            "10.0.1.10/32",
            "2001:db8::/32",
            "fe80::/10",
        ];
        vec(select(texts.to_vec()), 0..2)
            .prop_map(|texts| texts.iter().map(|text| text.parse().unwrap()).collect())
    };
    let patterns = select(vec!["blue", "red*", "*", "ipvlan7"]);
    let rule = (any::<bool>(), patterns, prefixes(), prefixes()).prop_map(
        |(is_by_name, pattern, allow, deny)| {
            let globs = vec![pattern.parse().unwrap()];
            let (netns, name) = if is_by_name {
                (Vec::new(), globs)
            } else {
                (globs, Vec::new())
            };
            Rule {
                netns,
                name,
                allow,
                deny,
                ..Rule::default()
            }
        },
    );
    (any::<bool>(), prefixes(), prefixes(), vec(rule, 0..3)).prop_map(
        |(answer_link_local, allow, deny, rules)| Policy {
            answer_link_local,
            allow,
            deny,
            rules,
            ..Policy::default()
        },
    )
}

proptest! {
    #[test]
    fn nothing_is_answered_that_is_not_the_childs_alone_to_use(
        children in children(),
        policy in policies(),
        held in vec(select(&ADDRESSES), 0..3),
        is_parent_up in prop::bool::weighted(0.9),
    ) {
        let withheld = held
            .iter()
            .map(|text| (cidr(text).local, Reason::Probing))
            .collect();
        let mut snapshot = snapshot(children);
        snapshot.links[0].up = is_parent_up;
        let desired = desired(&snapshot, &snapshot.links[0], &policy, &withheld);

        for text in [HOST, HOST_V6, HOST_LINK_LOCAL] {
            prop_assert_eq!(desired.addresses[&address(text)], host());
        }
        for (&address, &wanted) in &desired.addresses {
            let DesiredEntry::Child { child: owner, refusal: None, .. } = wanted else {
                continue;
            };
            prop_assert!(is_parent_up && !withheld.contains_key(&address), "{}", address);
            prop_assert!(!snapshot.host.gateways.iter().any(|it| it.address == address));
            prop_assert!(!address.is_multicast() && !address.is_loopback());
            prop_assert!(!policy.deny.iter().any(|prefix| prefix.contains(address)));
            let child = snapshot.children.iter().find(|&it| ChildKey::from(it) == owner).unwrap();
            prop_assert!(child.up && child.parent_ifindex == PARENT);
            // The same address twice on one child cannot be; here one that may be used is enough.
            let may_use = child.addresses.iter().any(|it| {
                it.registered() == address
                    && it.flags & (libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED) == 0
            });
            prop_assert!(may_use, "{}", address);
        }
        // What the host is not on-link with attracts nothing, or what the operator allowed.
        for (&address, wanted) in &desired.addresses {
            let entry = wanted.entry(|_| 0);
            let is_near = is_link_local_v6(address) || snapshot.host.routes_on_link.iter().any(|route| {
                route.oif == PARENT && Prefix::of(route.prefix, route.prefix_len).contains(address)
            });
            let elsewhere = wanted.child().is_some_and(|child| child.netns != NetnsId::Own);
            let is_answered = entry.is_live_child() && elsewhere;
            prop_assert_eq!(
                entry.is_off_link(),
                is_answered && !is_near && !entry.routed(),
                "{}", address
            );
        }
        // Only what the operator allowed in this family attracts packets that the host routes elsewhere.
        let mut attracting = 0;
        for (&address, wanted) in &desired.addresses {
            if !wanted.entry(|_| 0).routed() {
                continue;
            }
            attracting += 1;
            // No netns of this snapshot has a file: a rule matches by name, or not at all.
            let name = format!("ipvlan{}", wanted.child().unwrap().ifindex);
            let rule = policy.rules.iter().find(|rule| {
                rule.netns.is_empty() && rule.name.iter().any(|glob| glob.matches(&name))
            });
            let lists = [Some(&policy.allow), rule.map(|rule| &rule.allow)];
            let mut lists = lists.into_iter().flatten().filter(|list| !list.is_empty()).peekable();
            prop_assert!(lists.peek().is_some(), "{}", address);
            for list in lists {
                prop_assert!(list.iter().any(|prefix| prefix.contains(address)), "{}", address);
            }
            let on_link = snapshot.host.routes_on_link.iter().any(|route| {
                route.oif == PARENT && Prefix::of(route.prefix, route.prefix_len).contains(address)
            });
            prop_assert!(!on_link && !is_link_local(address), "{}", address);
            prop_assert!(wanted.child().is_some_and(|child| child.netns != NetnsId::Own));
            prop_assert_eq!(wanted.entry(|_| 0).refusal(), None);
        }
        prop_assert_eq!(desired.egress == EgressProgram::Routed, attracting > 0);
        // What is said to be answered is.
        for view in &desired.children {
            for it in view.addresses.iter().filter(|it| it.refusal.is_none()) {
                let wanted = desired.addresses[&it.address];
                let is_live = matches!(wanted, DesiredEntry::Child { refusal: None, .. });
                prop_assert!(is_live, "{}: {:?}", it.address, wanted);
            }
        }
        // Two cannot both be: the one that is not in the map is in conflict with the one that is.
        for view in &desired.children {
            for it in view.addresses.iter().filter(|it| it.is_candidate()) {
                let owner = desired.addresses[&it.address].child();
                let is_reported = desired.conflicts.iter().any(|conflict| {
                    (conflict.child, conflict.address) == (view.key, it.address)
                        && matches!(conflict.rival, Rival::Sibling(_))
                });
                prop_assert_eq!(is_reported, owner != Some(view.key), "{}", it.address);
            }
        }
    }
}
