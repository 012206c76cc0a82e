use ipvlan_common::Reason;

use super::*;
use crate::{
    facts::{Child, ChildAddress, Kind, NetnsId, Port},
    model::{Policy, desired},
};

#[test]
fn candidates_are_what_is_answered_or_withheld_and_know_whether_a_kernel_speaks() {
    let duplicate: IpAddr = "192.0.2.9".parse().unwrap();
    let address = |text: &str| ChildAddress {
        local: text.parse().unwrap(),
        peer: None,
        prefix_len: 24,
        scope: 0,
        flags: 0,
    };
    // Mode, and whether the child's kernel speaks on the LAN.
    let rows = [(Mode::L2, true), (Mode::L3, false), (Mode::L3s, false)];
    for (mode, l2) in rows {
        let link = Link {
            ifindex: 2,
            up: true,
            ..Link::default()
        };
        let snapshot = Snapshot {
            children: vec![Child {
                ifindex: 7,
                netns: NetnsId::Nsid(1),
                parent_ifindex: 2,
                kind: Kind::Ipvlan(Port {
                    mode,
                    ..Port::default()
                }),
                up: true,
                addresses: [
                    "192.0.2.7",
                    "192.0.2.8",
                    "192.0.2.9",
                    "127.0.0.9",
                    "2001:db8::7",
                ]
                .map(address)
                .into(),
                ..Child::default()
            }],
            links: vec![link.clone()],
            ..Snapshot::default()
        };
        let withheld = BTreeMap::from([(duplicate, Reason::Duplicate)]);
        let desired = desired(&snapshot, &link, &Policy::default(), &withheld);
        let no_room = BTreeSet::from(["192.0.2.8".parse().unwrap()]);
        let candidates: Vec<(String, bool)> = candidates(&desired, &no_room)
            .into_iter()
            .map(|(address, candidate)| (address.to_string(), candidate.l2))
            .collect();
        let expected = [
            ("192.0.2.7".to_owned(), l2),
            ("192.0.2.9".to_owned(), l2),
            ("2001:db8::7".to_owned(), l2),
        ];
        assert_eq!(candidates, expected, "{mode:?}");
    }
}
