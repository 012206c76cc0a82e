use ipvlan_common::{AddressEntry, Delivery, Owner};

use super::*;
use crate::decide::{origin::tests::Skb, tests::Table};

const PARENT: [u8; 6] = [2, 0, 0, 0, 0, 1];
const LAN: [u8; 6] = [2, 0, 0, 0, 0, 2];
const CHILD: [u8; 4] = [10, 0, 0, 1];
const HOST: [u8; 4] = [10, 0, 0, 2];
const GATEWAY: [u8; 4] = [10, 0, 0, 3];
const DOWN: [u8; 4] = [10, 0, 0, 4];
const FOREIGN: [u8; 4] = [10, 0, 0, 9];
const ODD: [u8; 4] = [224, 0, 0, 1];
const PROBING: [u8; 4] = [10, 0, 0, 5];
const CONTROL: [u8; 4] = [10, 0, 0, 6];

const fn child(slot: u32) -> AddressEntry {
    AddressEntry::child(7, slot, Delivery::Pass)
}

const TABLE: Table<'static, [u8; 4]> = Table(&[
    (CHILD, child(1)),
    (HOST, AddressEntry::held_by(Owner::Host)),
    (GATEWAY, AddressEntry::held_by(Owner::Gateway)),
    (DOWN, child(2).refused(Reason::ChildDown)),
    (ODD, child(3)),
    (PROBING, child(4).refused(Reason::Probing)),
    (
        CONTROL,
        AddressEntry::held_by(Owner::Host).refused(Reason::Probing),
    ),
]);

/// Every message over a few MACs and addresses, with every combination of flags.
fn for_all(mut check: impl FnMut(&Arp, Config)) {
    let macs = [PARENT, LAN, [0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0; 6]].map(Mac::new);
    let addresses = [CHILD, HOST, GATEWAY, DOWN, FOREIGN, ODD, UNSPECIFIED];
    let switches = [
        ConfigFlags::L2,
        ConfigFlags::L2_FLOOD,
        ConfigFlags::L2_DROP_FOREIGN,
    ];
    for bits in 0..1 << switches.len() {
        let flags = (0..switches.len())
            .filter(|index| bits & (1 << index) != 0)
            .fold(ConfigFlags::READY, |flags, index| flags | switches[index]);
        let config = Config::new(PARENT, flags);
        for eth_dst in macs {
            for eth_src in macs {
                for sha in macs {
                    for spa in addresses {
                        for tpa in addresses {
                            for oper in [ARPOP_REQUEST, ARPOP_REPLY, 3] {
                                let arp = Arp {
                                    eth_dst,
                                    eth_src,
                                    oper,
                                    sha,
                                    spa,
                                    tpa,
                                };
                                check(&arp, config);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn from_the_wire_only_a_live_child_is_answered_for_and_only_to_a_real_stranger() {
    let mut answers = 0;
    for_all(|arp, config| {
        let decision = decide_ingress(arp, config, &TABLE, &false);
        if decision.reason != Reason::ArpAnswered {
            return;
        }
        answers += 1;
        assert_eq!((arp.tpa, decision.slot), (CHILD, 1));
        assert_eq!(arp.oper, ARPOP_REQUEST);
        assert_eq!((arp.eth_src, arp.sha), (Mac::new(LAN), Mac::new(LAN)));
        assert!([FOREIGN, GATEWAY, DOWN, UNSPECIFIED].contains(&arp.spa));
        assert!([Mac::BROADCAST, Mac::new(PARENT)].contains(&arp.eth_dst));
    });
    // 2 destinations, 4 senders, 8 combinations of flags, less the 2 with both l2 and flood.
    assert_eq!(answers, 2 * 4 * 6);
}

#[test]
fn from_the_wire_who_claims_what_host_or_live_child_hold_is_in_conflict_whatever_it_says() {
    let mut conflicts = 0;
    for_all(|arp, config| {
        let from_stranger = (arp.eth_src, arp.sha) == (Mac::new(LAN), Mac::new(LAN))
            && [Mac::BROADCAST, Mac::new(PARENT)].contains(&arp.eth_dst)
            && [ARPOP_REQUEST, ARPOP_REPLY].contains(&arp.oper);
        let expected = from_stranger && [CHILD, HOST].contains(&arp.spa);
        let reason = decide_ingress(arp, config, &TABLE, &false).reason;
        assert_eq!(reason == Reason::SenderConflict, expected, "{arp:?}");
        conflicts += usize::from(expected);
    });
    assert!(conflicts > 0);
}

#[test]
fn only_a_broadcast_request_for_nobody_from_a_real_stranger_is_dropped() {
    for_all(|arp, config| {
        if decide_ingress(arp, config, &TABLE, &false).reason != Reason::ForeignDropped {
            return;
        }
        assert!(config.has(ConfigFlags::L2_DROP_FOREIGN));
        assert_eq!((arp.oper, arp.eth_dst), (ARPOP_REQUEST, Mac::BROADCAST));
        assert!([FOREIGN, GATEWAY].contains(&arp.tpa));
        assert!(arp.spa != arp.tpa && arp.spa != UNSPECIFIED);
        assert_eq!((arp.eth_src, arp.sha), (Mac::new(LAN), Mac::new(LAN)));
    });
}

#[test]
fn on_egress_nothing_is_dropped_and_only_our_own_are_answered() {
    for_all(|arp, config| {
        let decision = decide_egress(arp, config, &TABLE, &Skb::default());
        assert_ne!(decision.reason, Reason::ForeignDropped);
        match decision.reason {
            Reason::ArpAnswered => {
                let from_child = [CHILD, DOWN, ODD].contains(&arp.spa);
                let for_child = arp.tpa == CHILD && !from_child;
                let for_host = arp.tpa == HOST && from_child;
                assert!(for_child || for_host);
                assert_eq!(arp.oper, ARPOP_REQUEST);
                assert_ne!(arp.spa, UNSPECIFIED);
            }
            Reason::Hairpinned => {
                assert_eq!((arp.oper, arp.eth_dst), (ARPOP_REPLY, Mac::new(PARENT)));
                // `ODD` cannot be sent to by ARP of the host, but is no harm either.
                assert!([CHILD, ODD].contains(&arp.tpa));
            }
            _ => return,
        }
        assert_eq!((arp.eth_src, arp.sha), (Mac::new(PARENT), Mac::new(PARENT)));
    });
}

#[test]
fn the_host_does_not_wait_for_the_probe_of_a_childs_address_and_the_lan_does() {
    let config = Config::new(PARENT, ConfigFlags::READY);
    let request = |mac: [u8; 6], spa, tpa| Arp {
        eth_dst: Mac::BROADCAST,
        eth_src: Mac::new(mac),
        oper: ARPOP_REQUEST,
        sha: Mac::new(mac),
        spa,
        tpa,
    };
    for (spa, tpa, expected) in [
        (HOST, PROBING, Reason::ArpAnswered),
        (HOST, CONTROL, Reason::Probing),
        // An answer to a child would be one for a control address.
        (CHILD, CONTROL, Reason::Probing),
        (CHILD, PROBING, Reason::Sibling),
        (HOST, DOWN, Reason::ChildDown),
    ] {
        let arp = request(PARENT, spa, tpa);
        let decision = decide_egress(&arp, config, &TABLE, &Skb::default());
        assert_eq!(decision.reason, expected, "{spa:?} {tpa:?}");
    }
    let decision = decide_ingress(&request(LAN, FOREIGN, PROBING), config, &TABLE, &false);
    assert_eq!(decision.reason, Reason::Probing);
    let reply = Arp {
        eth_dst: Mac::new(PARENT),
        oper: ARPOP_REPLY,
        ..request(PARENT, HOST, PROBING)
    };
    let decision = decide_egress(&reply, config, &TABLE, &Skb::default());
    assert_eq!(decision.reason, Reason::Hairpinned);
}

#[test]
fn an_l2_child_is_answered_for_the_hosts_addresses_that_its_kernel_would_answer() {
    const BARRED: [u8; 4] = [10, 0, 0, 5];
    let host = AddressEntry::held_by(Owner::Host);
    let table = Table(&[
        (CHILD, child(1)),
        (BARRED, child(2).with_barred()),
        (HOST, host),
        ([10, 0, 0, 6], host.with_restricted()),
        ([10, 0, 0, 7], host.with_unanswered()),
    ]);
    let config = Config::new(PARENT, ConfigFlags::READY | ConfigFlags::L2);
    for (spa, tpa, reason) in [
        (CHILD, HOST, Reason::ArpAnswered),
        (BARRED, HOST, Reason::ArpAnswered),
        (CHILD, [10, 0, 0, 6], Reason::ArpAnswered),
        (BARRED, [10, 0, 0, 6], Reason::HostElsewhere),
        (CHILD, [10, 0, 0, 7], Reason::HostElsewhere),
        (BARRED, [10, 0, 0, 7], Reason::HostElsewhere),
        // A sender that is the host, and one that is no child.
        (HOST, [10, 0, 0, 7], Reason::HostAddress),
        (FOREIGN, [10, 0, 0, 6], Reason::HostAddress),
        // A barred child is answered on the LAN as any other.
        (HOST, BARRED, Reason::ArpAnswered),
    ] {
        let request = Arp {
            eth_dst: Mac::BROADCAST,
            eth_src: Mac::new(PARENT),
            oper: ARPOP_REQUEST,
            sha: Mac::new(PARENT),
            spa,
            tpa,
        };
        let decision = decide_egress(&request, config, &table, &Skb::default());
        assert_eq!(decision.reason, reason, "{tpa:?} to {spa:?}");
    }
}

#[test]
fn a_station_that_may_own_its_address_is_answered_and_claims_it_by_announcing_alone() {
    let config = Config::new(PARENT, ConfigFlags::READY);
    for holder in [child(4), AddressEntry::held_by(Owner::Host)] {
        for refusal in [Reason::Probing, Reason::Duplicate] {
            let table = [(CHILD, child(1)), (PROBING, holder.refused(refusal))];
            for (oper, tpa, reason) in [
                (ARPOP_REQUEST, CHILD, Reason::ArpAnswered),
                (ARPOP_REQUEST, PROBING, Reason::SenderConflict),
                (ARPOP_REPLY, CHILD, Reason::SenderConflict),
            ] {
                let message = Arp {
                    eth_dst: Mac::BROADCAST,
                    eth_src: Mac::new(LAN),
                    oper,
                    sha: Mac::new(LAN),
                    spa: PROBING,
                    tpa,
                };
                let decision = decide_ingress(&message, config, &Table(&table), &false);
                assert_eq!(decision.reason, reason, "{refusal:?}, {oper}");
            }
        }
    }
}

#[test]
fn a_sender_with_an_address_of_the_host_that_is_not_watched_is_answered() {
    let unwatched = AddressEntry::held_by(Owner::Host).with_unwatched();
    let entries = [
        (unwatched, Reason::ArpAnswered),
        (AddressEntry::held_by(Owner::Host), Reason::SenderConflict),
        (unwatched.refused(Reason::Tentative), Reason::ArpAnswered),
    ];
    for (host, reason) in entries {
        let table = [(CHILD, child(1)), (HOST, host)];
        let request = Arp {
            eth_dst: Mac::BROADCAST,
            eth_src: Mac::new(LAN),
            oper: ARPOP_REQUEST,
            sha: Mac::new(LAN),
            spa: HOST,
            tpa: CHILD,
        };
        let config = Config::new(PARENT, ConfigFlags::READY);
        let decision = decide_ingress(&request, config, &Table(&table), &false);
        assert_eq!(decision.reason, reason);
    }
}

#[test]
fn a_frame_to_another_mac_of_the_parents_is_a_frame_to_the_parent() {
    for_all(|arp, config| {
        let before = decide_ingress(arp, config, &TABLE, &false);
        let now = decide_ingress(arp, config, &TABLE, &true);
        if before.reason == Reason::OtherMac {
            let to_parent = Arp {
                eth_dst: Mac::new(PARENT),
                ..*arp
            };
            assert_eq!(now, decide_ingress(&to_parent, config, &TABLE, &false));
        } else {
            assert_eq!(now, before);
        }
    });
}

#[test]
fn under_isolation_only_the_host_reaches_a_child() {
    let host = Skb::default();
    let container = Skb {
        from_other_netns: true,
        ..host
    };
    let mut hairpinned = 0;
    for_all(|arp, config| {
        for flags in [
            ConfigFlags::ISOLATED,
            ConfigFlags::ISOLATED | ConfigFlags::VEPA,
        ] {
            let open = decide_egress(arp, config, &TABLE, &host);
            let config = Config::new(config.mac(), config.flags() | flags);
            let mut expected = open;
            if [CHILD, ODD].contains(&arp.tpa)
                && [Reason::Hairpinned, Reason::ArpAnswered].contains(&open.reason)
                && arp.spa != HOST
            {
                let from_child = [CHILD, DOWN, ODD].contains(&arp.spa);
                expected.reason = if from_child {
                    Reason::Sibling
                } else {
                    Reason::Isolated
                };
            }
            assert_eq!(
                decide_egress(arp, config, &TABLE, &host),
                expected,
                "{arp:?}"
            );
            if expected.reason == Reason::Hairpinned {
                hairpinned += 1;
                expected.reason = Reason::Isolated;
            }
            let decision = decide_egress(arp, config, &TABLE, &container);
            assert_eq!(decision, expected, "{arp:?} from a container");
        }
    });
    assert!(hairpinned > 0);
}
