use std::collections::BTreeMap;

use super::*;

/// A status with every word of every set; its text is part of schema 1.
fn every_word() -> Status {
    Status {
        schema: SCHEMA,
        agents: vec![agent()],
        unanswered: vec![Unanswered {
            pid: Some(8),
            socket: "/run/ipvlan/8.sock".to_owned(),
            error: "the agent with pid 8 does not answer".to_owned(),
        }],
        unserved: Some(vec![Unserved {
            name: "ens35".to_owned(),
            netns: 4_026_531_840,
            ifindex: 3,
            pinned: "/sys/fs/bpf/ipvlan/ens35-4026531840-3".to_owned(),
        }]),
    }
}

fn agent() -> Agent {
    let quotas = [
        QuotaKind::Addresses,
        QuotaKind::Events,
        QuotaKind::Announcements,
        QuotaKind::Groups,
        QuotaKind::Time,
    ];
    Agent {
        pid: 7,
        version: "0.1.0".to_owned(),
        netns: 4_026_531_840,
        sync: SyncStats {
            wakes: 1,
            syncs: 2,
            whole: 3,
            first_us: 4,
            overruns: 5,
            failed: 6,
            error: Some("cannot read".to_owned()),
            mended: 7,
        },
        config: Sources {
            files: vec!["/etc/ipvlan.toml".to_owned()],
            reloads: 1,
            error: Some("no such key".to_owned()),
            at_next_start: vec!["iface".to_owned()],
        },
        quotas: quotas
            .map(|quota| ExceededQuota {
                netns: netns(),
                quota: quota.into(),
                limit: 10,
                exceeded: 1,
                option: format!("--netns-{}", Word::from(quota)),
            })
            .into(),
        parents: vec![
            parent(ParentState::Ready, Mode::L2, Flag::Bridge),
            parent(ParentState::Degraded, Mode::L3, Flag::Private),
            parent(ParentState::Waiting, Mode::L3s, Flag::Vepa),
        ],
        unreadable: vec!["nsid 5: cannot be read (1 tries): denied".to_owned()],
    }
}

fn parent(state: ParentState, mode: Mode, flag: Flag) -> Parent {
    if state == ParentState::Waiting {
        return Parent {
            name: "ens36".to_owned(),
            ifindex: None,
            mac: None,
            up: false,
            mode: None,
            flag: None,
            state: state.into(),
            reason: Some("there is no interface".to_owned()),
            pinned: None,
            hooks: Vec::new(),
            counters: BTreeMap::new(),
            notes: Vec::new(),
            conflicts: Vec::new(),
            events: Vec::new(),
            groups: 0,
            children: Vec::new(),
        };
    }
    let hooks = [
        (Hook::Ingress, Mechanism::Tcx),
        (Hook::Egress, Mechanism::Clsact),
        (Hook::Xdp, Mechanism::XdpNative),
        (Hook::Xdp, Mechanism::XdpGeneric),
    ];
    Parent {
        name: "ens34".to_owned(),
        ifindex: Some(2),
        mac: Some("02:00:00:00:00:01".to_owned()),
        up: true,
        mode: Some(mode.into()),
        flag: Some(flag.into()),
        state: state.into(),
        reason: None,
        pinned: Some("/sys/fs/bpf/ipvlan/ens34-4026531840-2".to_owned()),
        hooks: hooks
            .map(|(hook, attach)| Program {
                hook: hook.into(),
                program: "parent_ingress".to_owned(),
                program_id: 9,
                attach: attach.into(),
            })
            .into(),
        counters: hooks
            .map(|(hook, _)| {
                let frames = [("not_ours", 2), ("arp_answered", 1)];
                let frames = frames.map(|(reason, count)| (reason.to_owned(), count));
                (hook.into(), frames.into())
            })
            .into(),
        notes: vec!["the parent is down".to_owned()],
        conflicts: conflict_kinds().map(conflict).into(),
        events: events(),
        groups: 3,
        children: vec![
            child(ChildState::Answering, mode, Delivery::Pass),
            child(ChildState::Refused, mode, Delivery::Redirect),
            child(ChildState::NoAddress, Mode::L3s, Delivery::Pass),
        ],
    }
}

fn conflict_kinds() -> [ConflictKind; 7] {
    [
        ConflictKind::HostAddress,
        ConflictKind::GatewayAddress,
        ConflictKind::NextHop,
        ConflictKind::SiblingAddress,
        ConflictKind::OtherParent,
        ConflictKind::PeerAddress,
        ConflictKind::LanStation,
    ]
}

fn conflict(kind: ConflictKind) -> Conflict {
    Conflict {
        kind: kind.into(),
        address: "10.0.0.1".to_owned(),
        child: "ipvl0".to_owned(),
        netns: netns(),
        rival: Rival {
            interface: Some("ipvl1".to_owned()),
            netns: Some(netns()),
            parent: Some("ens35".to_owned()),
            peer: Some("10.0.0.2".to_owned()),
            mac: Some("02:00:00:00:00:09".to_owned()),
        },
    }
}

fn events() -> Vec<Event> {
    let kinds = [
        EventKind::Claim,
        EventKind::Probe,
        EventKind::NoOwner,
        EventKind::ModeChanged,
        EventKind::FlagChanged,
        EventKind::ChildMoved,
        EventKind::Conflict(ConflictKind::HostAddress),
        EventKind::Conflict(ConflictKind::SiblingAddress),
    ];
    let actions = [
        Action::None,
        Action::Answered,
        Action::Withheld,
        Action::Defended,
        Action::Yielded,
    ];
    let of = |(kind, action): (EventKind, Action)| Event {
        time_ms: 1_000,
        kind: kind.into(),
        address: Some("10.0.0.1".to_owned()),
        mac: Some("02:00:00:00:00:09".to_owned()),
        parent: "ens34".to_owned(),
        child: Some("ipvl0".to_owned()),
        netns: Some(netns()),
        action: action.into(),
        detail: Some("l2 to l3".to_owned()),
        count: 2,
    };
    let actions = actions.into_iter().cycle();
    kinds.into_iter().zip(actions).map(of).collect()
}

fn child(state: ChildState, mode: Mode, delivery: Delivery) -> Child {
    Child {
        name: "ipvl0".to_owned(),
        ifindex: 7,
        netns: netns(),
        mode: mode.into(),
        up: true,
        forwarding: false,
        delivery: delivery.into(),
        rule: Some("/etc/ipvlan.toml:3".to_owned()),
        state: state.into(),
        reason: Some("child_down".to_owned()),
        addresses: [
            AddressState::Answered,
            AddressState::Probing,
            AddressState::Refused,
        ]
        .map(|state| Address {
            address: "10.0.0.1/24".to_owned(),
            peer: Some("10.0.0.2".to_owned()),
            state: state.into(),
            reason: Some(MAP_FULL.to_owned()),
        })
        .into(),
        counters: ChildCounters {
            answered: 1,
            hairpinned: 1,
            redirected: 1,
            refused: 1,
        },
        link: LinkStats {
            rx_packets: 1,
            rx_bytes: 2,
            tx_packets: 3,
            tx_bytes: 4,
        },
    }
}

fn netns() -> Netns {
    Netns {
        nsid: Some(1),
        inode: Some(4_026_532_000),
        names: vec!["red".to_owned()],
        pid: Some(944),
    }
}

#[test]
fn every_word_is_written_and_read_as_in_schema_1() {
    let golden = include_str!("tests/schema_1.json");
    let status = every_word();
    let text = serde_json::to_string_pretty(&status).unwrap() + "\n";
    assert_eq!(text, golden);
    let read: Status = serde_json::from_str(golden).unwrap();
    assert_eq!(read, status);
}

#[test]
fn the_status_of_an_older_agent_is_read() {
    let older = r#"{
        "name": "ens34", "ifindex": 2, "mac": null, "up": true, "mode": "l3", "flag": "bridge",
        "state": "ready", "reason": null, "hooks": [], "counters": {}, "notes": [],
        "children": [{
            "name": "ipvl0", "ifindex": 7, "mode": "l3", "up": true, "delivery": "pass",
            "netns": {"nsid": 1, "inode": null, "names": [], "pid": null},
            "state": "answering", "reason": null, "counters": {},
            "addresses": [{"address": "10.0.0.1/24", "state": "answered", "reason": null}],
            "link": {"rx_packets": 0, "rx_bytes": 0, "tx_packets": 0, "tx_bytes": 0}
        }]
    }"#;
    let parent: Parent = serde_json::from_str(older).unwrap();
    assert!(parent.conflicts.is_empty() && parent.events.is_empty());
    assert_eq!(parent.groups, 0);
    assert_eq!(parent.children[0].rule, None);
    assert!(!parent.children[0].forwarding);
    assert_eq!(parent.children[0].addresses[0].peer, None);
}

#[test]
fn a_word_of_a_newer_agent_is_kept() {
    let read = |json| serde_json::from_str::<Word<EventKind>>(json).unwrap();
    assert_eq!(read(r#""claim""#), EventKind::Claim);
    assert_eq!(
        read(r#""next_hop""#),
        EventKind::Conflict(ConflictKind::NextHop)
    );
    let other = read(r#""of_the_future""#);
    assert_eq!(other, Word::Other("of_the_future".to_owned()));
    assert_eq!(other.to_string(), "of_the_future");
    assert_eq!(serde_json::to_string(&other).unwrap(), r#""of_the_future""#);
}
