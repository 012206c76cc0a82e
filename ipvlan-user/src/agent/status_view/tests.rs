use std::collections::BTreeMap;

use super::*;
use crate::{
    config::Options,
    facts::{Mode, Netns, PortFlag},
    lan::incidents::{Action, Kind},
    model::Rule,
};

#[test]
fn a_request_that_only_the_mac_identifies_is_noted() {
    let counters = |reason: Reason, count| {
        let of_hook = BTreeMap::from([(reason.word().to_owned(), count)]);
        Counters::from([(protocol::Hook::Egress.into(), of_hook)])
    };
    for (reason, count) in [
        (Reason::DhcpNoClientId, 0),
        (Reason::DhcpBroadcast, 3),
        (Reason::NotOurs, 3),
    ] {
        assert_eq!(dhcp_note(&counters(reason, count)), None, "{reason:?}");
    }
    assert_eq!(dhcp_note(&Counters::new()), None);
    let note = dhcp_note(&counters(Reason::DhcpNoClientId, 3)).unwrap();
    assert!(note.contains("identifier of their own (3): "), "{note}");
}

#[test]
fn an_exceeded_quota_is_reported_with_the_limit_and_option_of_its_netns() {
    let netns = |nsid, file: &str| Netns {
        id: NetnsId::Nsid(nsid),
        names: vec![file.to_owned()],
        files: vec![format!("/run/netns/{file}")],
        ..Netns::default()
    };
    let snapshot = Snapshot {
        netnses: vec![netns(1, "red"), netns(2, "blue")],
        ..Snapshot::default()
    };
    let settings = Settings::new(Options {
        iface: Some(vec!["ens34".parse().unwrap()]),
        netns_events: "5".parse().ok(),
        rule: vec![Rule {
            netns: vec!["blue".parse().unwrap()],
            addresses: Some(10),
            ..Rule::default()
        }],
        ..Options::default()
    })
    .unwrap();
    let key = |nsid, quota| (NetnsId::Nsid(nsid), quota);
    let exceeded = Exceeded::from([
        (key(1, Quota::Addresses), 904),
        (key(1, Quota::Time), 0),
        (key(2, Quota::Addresses), 7),
        (key(2, Quota::Events), 3),
        (key(3, Quota::Events), 3),
    ]);
    let shown: Vec<_> = quotas(&exceeded, &settings, &snapshot)
        .into_iter()
        .map(|it| {
            let name = it.netns.names.concat();
            (name, it.quota, it.limit, it.exceeded, it.option)
        })
        .collect();
    let expected = [
        ("red", "addresses", 4096, 904, "--netns-addresses"),
        ("blue", "addresses", 10, 7, "[[rule]] addresses"),
        ("blue", "events", 5, 3, "--netns-events"),
    ]
    .map(|(name, quota, limit, exceeded, option)| {
        let quota = Word::from_text(quota);
        (name.to_owned(), quota, limit, exceeded, option.to_owned())
    });
    assert_eq!(shown, expected);
}

#[test]
fn every_word_of_the_agent_is_one_of_the_protocol() {
    fn known<T: serde::de::DeserializeOwned>(text: &str) -> bool {
        matches!(Word::<T>::from_text(text), Word::Known(_))
    }
    for hook in Hook::ALL {
        assert!(known::<protocol::Hook>(hook.word()), "{hook:?}");
    }
    for mode in [Mode::L2, Mode::L3, Mode::L3s] {
        assert!(known::<protocol::Mode>(mode.word()), "{mode:?}");
    }
    for flag in [PortFlag::Bridge, PortFlag::Private, PortFlag::Vepa] {
        assert!(known::<protocol::Flag>(flag.word()), "{flag:?}");
    }
    for kind in [
        Kind::Claim,
        Kind::Probe,
        Kind::NoOwner,
        Kind::Conflict("lan_station"),
        Kind::ModeChanged,
        Kind::FlagChanged,
        Kind::ChildMoved,
    ] {
        assert!(known::<protocol::EventKind>(kind.word()), "{kind:?}");
    }
    for action in [
        Action::None,
        Action::Answered,
        Action::Withheld,
        Action::Defended,
        Action::Yielded,
    ] {
        assert!(known::<protocol::Action>(action.word()), "{action:?}");
    }
    let child = ChildKey {
        netns: NetnsId::Own,
        ifindex: 1,
    };
    for rival in [
        Rival::Host { ifindex: 1 },
        Rival::Gateway,
        Rival::NextHop,
        Rival::Sibling(child),
        Rival::OtherParent { child, parent: 1 },
        Rival::Peer("10.0.0.1".parse().unwrap()),
    ] {
        let address = "10.0.0.1".parse().unwrap();
        let conflict = Conflict {
            address,
            child,
            rival,
        };
        assert!(known::<ConflictKind>(conflict.word()), "{rival:?}");
    }
}
