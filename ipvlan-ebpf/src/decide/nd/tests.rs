mod wire;

use std::net::Ipv6Addr;

use ipvlan_common::{Delivery, Owner};

use super::*;
use crate::{decide::tests::Table, parse::NdHeader};

const PARENT: Mac = Mac::new([2, 0, 0, 0, 0, 1]);
const LAN: Mac = Mac::new([2, 0, 0, 0, 0, 2]);

fn ip(text: &str) -> Ip6 {
    Ip6::new(text.parse::<Ipv6Addr>().unwrap().octets())
}

fn child(slot: u32) -> AddressEntry {
    AddressEntry::child(7, slot, Delivery::Pass)
}

fn table() -> Vec<(Ip6, AddressEntry)> {
    vec![
        (ip("2001:db8::1"), child(1)),
        (ip("2001:db8::2"), AddressEntry::held_by(Owner::Host)),
        (ip("2001:db8::3"), AddressEntry::held_by(Owner::Gateway)),
        (ip("2001:db8::4"), child(2).refused(Reason::ChildDown)),
        (ip("2001:db8::5"), child(3).refused(Reason::GatewayAddress)),
        (ip("2001:db8::6"), child(4).refused(Reason::Probing)),
        (ip("2001:db8::7"), child(5).with_router()),
        (ip("2001:db8::8"), child(6).with_optimistic()),
        (ip("2001:db8::a"), child(7).with_by_kernel()),
    ]
}

fn config(flags: ConfigFlags) -> Config {
    Config::new(PARENT.bytes(), ConfigFlags::READY | flags)
}

/// Returns a solicitation of the station at `LAN` with address `src` for `target`, by unicast if `direct`.
fn asks(src: &str, target: &str, direct: bool) -> Nd {
    let (src, target) = (ip(src), ip(target));
    let dst = if direct {
        target
    } else {
        target.solicited_node()
    };
    let dad = src == Ip6::UNSPECIFIED;
    Nd {
        header: NdHeader {
            eth_dst: if direct { PARENT } else { dst.group_mac() },
            eth_src: LAN,
            src,
            dst,
            target,
            len: 32,
        },
        link_layer: if dad { Mac::ZERO } else { LAN },
        has_link_layer: !dad,
    }
}

const R: u32 = ROUTER;
const S: u32 = SOLICITED;
const O: u32 = OVERRIDE;

#[test]
fn where_it_comes_from_and_goes_to_must_fit() {
    type Change = fn(&mut Nd);
    let rows: [(Change, Reason); 12] = [
        (|nd| nd.header.eth_dst = PARENT, Reason::NdAnswered),
        (|nd| nd.header.eth_dst = Mac::BROADCAST, Reason::NdAnswered),
        (|nd| nd.header.eth_dst = LAN, Reason::OtherMac),
        (
            |nd| nd.header.eth_dst = Ip6::ALL_NODES.group_mac(),
            Reason::OtherMac,
        ),
        (|nd| nd.header.dst = ip("ff02::1:ff00:2"), Reason::OtherMac),
        (
            |nd| {
                nd.header.dst = Ip6::ALL_NODES;
                nd.header.eth_dst = Ip6::ALL_NODES.group_mac();
            },
            Reason::OtherDestination,
        ),
        (
            |nd| {
                nd.header.dst = ip("2001:db8::7");
                nd.header.eth_dst = PARENT;
            },
            Reason::OtherDestination,
        ),
        (|nd| nd.header.eth_src = PARENT, Reason::OwnSender),
        (|nd| nd.link_layer = PARENT, Reason::OwnSender),
        (|nd| nd.link_layer = Mac::ZERO, Reason::SenderMac),
        (|nd| nd.header.eth_src = Mac::BROADCAST, Reason::SenderMac),
        (|nd| nd.header.src = Ip6::UNSPECIFIED, Reason::DadLinkLayer),
    ];
    for (index, (change, reason)) in rows.into_iter().enumerate() {
        let mut nd = asks("2001:db8::9", "2001:db8::1", false);
        change(&mut nd);
        let config = config(ConfigFlags::READY);
        let decided = decide_ingress(&nd, config, &Table(&table()), &false);
        assert_eq!(decided.decision.reason, reason, "row {index}");
    }
}

#[test]
fn a_frame_to_another_mac_of_the_parents_is_a_frame_to_the_parent() {
    let mut nd = asks("2001:db8::9", "2001:db8::1", true);
    nd.header.eth_dst = Mac::new([2, 0, 0, 0, 0, 3]);
    let config = config(ConfigFlags::READY);
    for (is_own, reason) in [(false, Reason::OtherMac), (true, Reason::NdAnswered)] {
        let decided = decide_ingress(&nd, config, &Table(&table()), &is_own);
        assert_eq!(decided.decision.reason, reason);
    }
    for (is_own, reason) in [(false, Reason::OtherMac), (true, Reason::SenderConflict)] {
        let decision = decide_advertisement(&nd, config, &Table(&table()), &is_own);
        assert_eq!(decision.reason, reason);
    }
}

#[test]
fn an_l2_child_is_answered_for_the_hosts_addresses_that_its_kernel_would_answer() {
    let host = AddressEntry::held_by(Owner::Host);
    let table = [
        (ip("2001:db8::1"), child(1)),
        (ip("2001:db8::2"), host),
        (ip("2001:db8::3"), host.with_unanswered()),
    ];
    for (src, target, reason) in [
        ("2001:db8::1", "2001:db8::2", Reason::NdAnswered),
        ("2001:db8::1", "2001:db8::3", Reason::HostElsewhere),
        ("2001:db8::2", "2001:db8::3", Reason::HostAddress),
    ] {
        let mut nd = asks(src, target, false);
        nd.header.eth_src = PARENT;
        nd.link_layer = PARENT;
        let decided = decide_egress(&nd, config(ConfigFlags::L2), &Table(&table));
        assert_eq!(decided.decision.reason, reason, "{target} to {src}");
    }
}

#[test]
fn an_advertisement_of_another_for_what_is_held_here_is_a_claim() {
    let rows = [
        ("2001:db8::1", LAN, Reason::SenderConflict),
        ("2001:db8::2", LAN, Reason::SenderConflict),
        ("2001:db8::6", LAN, Reason::SenderConflict),
        ("2001:db8::3", LAN, Reason::Advertisement),
        ("2001:db8::4", LAN, Reason::Advertisement),
        ("2001:db8::99", LAN, Reason::Advertisement),
        ("2001:db8::1", PARENT, Reason::OwnSender),
    ];
    for (target, mac, reason) in rows {
        let mut nd = asks(target, target, true);
        nd.header.dst = Ip6::ALL_NODES;
        nd.header.eth_dst = Ip6::ALL_NODES.group_mac();
        nd.link_layer = mac;
        let config = config(ConfigFlags::READY);
        let decision = decide_advertisement(&nd, config, &Table(&table()), &false);
        assert_eq!(decision.reason, reason, "{target} at {mac:?}");
    }
}

#[test]
fn to_the_wire() {
    let l2 = ConfigFlags::L2;
    let l3 = ConfigFlags::READY;
    let rows = [
        (l3, "2001:db8::2", "2001:db8::1", false, Reason::NdAnswered),
        (l3, "2001:db8::2", "2001:db8::1", true, Reason::NdAnswered),
        (l3, "2001:db8::2", "2001:db8::4", false, Reason::ChildDown),
        (l3, "2001:db8::2", "2001:db8::99", false, Reason::NotOurs),
        (l3, "2001:db8::2", "2001:db8::3", false, Reason::NotOurs),
        (l3, "::", "2001:db8::1", false, Reason::Probe),
        (l2, "2001:db8::7", "2001:db8::1", false, Reason::Sibling),
        (l2, "2001:db8::7", "2001:db8::2", false, Reason::NdAnswered),
        (l3, "2001:db8::7", "2001:db8::2", false, Reason::NdAnswered),
        (l2, "2001:db8::2", "2001:db8::2", false, Reason::HostAddress),
    ];
    for (flags, src, target, direct, reason) in rows {
        let mut nd = asks(src, target, direct);
        let decide = |nd: &Nd| decide_egress(nd, config(flags), &Table(&table())).decision;
        assert_eq!(decide(&nd).reason, Reason::SenderMac, "from the LAN");
        nd.header.eth_src = PARENT;
        nd.link_layer = PARENT;
        assert_eq!(decide(&nd).reason, reason, "{src} asks for {target}");
    }
}
