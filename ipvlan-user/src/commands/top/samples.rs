//! Answers of agents for tests.

use serde_json::{Value, json};

use crate::protocol::Agent;

/// A child: netns, name, addresses, and its counters of answered and refused frames.
pub(super) struct Sample {
    pub(super) netns: &'static str,
    pub(super) name: &'static str,
    pub(super) addresses: &'static [&'static str],
    pub(super) state: &'static str,
    pub(super) reason: Option<&'static str>,
    pub(super) answered: u64,
    pub(super) refused: u64,
}

/// Four children, one with a conflict, one without an address.
pub(super) const CHILDREN: [Sample; 4] = [
    Sample {
        netns: "web",
        name: "eth0",
        addresses: &["192.0.2.10/24", "2001:db8::10/64"],
        state: "answering",
        reason: None,
        answered: 1200,
        refused: 3,
    },
    Sample {
        netns: "db",
        name: "eth0",
        addresses: &["192.0.2.9/24"],
        state: "answering",
        reason: None,
        answered: 40,
        refused: 0,
    },
    Sample {
        netns: "cni-5f3a90d2-7c41-4d1b-9a55-0e12b8c6f00d",
        name: "ipvl-long-name0",
        addresses: &["192.0.2.200/24"],
        state: "refused",
        reason: Some("duplicate"),
        answered: 0,
        refused: 77,
    },
    Sample {
        netns: "new",
        name: "eth0",
        addresses: &[],
        state: "no-address",
        reason: None,
        answered: 0,
        refused: 0,
    },
];

fn child(number: usize, sample: &Sample) -> Value {
    let addresses = sample.addresses.iter().map(|address| {
        let state = if sample.state == "refused" {
            "refused"
        } else {
            "answered"
        };
        json!({"address": address, "state": state, "reason": sample.reason})
    });
    json!({
        "name": sample.name, "ifindex": 7, "mode": "l3", "up": sample.state != "no-address",
        "delivery": "pass", "state": sample.state, "reason": sample.reason,
        "netns": {"nsid": number, "inode": 4_026_532_000_u64 + number as u64, "names": [sample.netns]},
        "addresses": addresses.collect::<Vec<_>>(),
        "counters": {"answered": sample.answered, "refused": sample.refused},
        "link": {
            "rx_packets": sample.answered * 10, "rx_bytes": sample.answered * 1000,
            "tx_packets": sample.answered * 5, "tx_bytes": sample.answered * 500
        }
    })
}

/// An agent of parent `ens34` with these children, whose programs answered as many requests as all children together.
pub(super) fn agent(samples: &[Sample]) -> Agent {
    let children = samples.iter().enumerate().map(|(at, of)| child(at, of));
    let conflicts = samples.iter().enumerate().filter_map(|(at, of)| {
        of.reason.map(|_| {
            json!({
                "kind": "lan_station", "address": "192.0.2.200", "child": of.name,
                "netns": {"nsid": at, "inode": 4_026_532_000_u64 + at as u64, "names": [of.netns]},
                "rival": {"mac": "02:00:00:00:00:99"}
            })
        })
    });
    let answered: u64 = samples.iter().map(|of| of.answered).sum();
    serde_json::from_value(json!({
        "pid": 944, "version": "0.1.0", "netns": 4_026_531_840_u64,
        "sync": {
            "wakes": 3, "syncs": 42, "overruns": 0, "failed": 0, "error": null, "mended": 0
        },
        "parents": [{
            "name": "ens34", "ifindex": 2, "mac": null, "up": true, "mode": "l3", "flag": "bridge",
            "state": "ready", "reason": null, "hooks": [], "notes": [],
            "counters": {"ingress": {"arp_answered": answered, "not_ours": 9}},
            "conflicts": conflicts.collect::<Vec<_>>(), "children": children.collect::<Vec<_>>()
        }]
    }))
    .unwrap()
}

/// [`CHILDREN`] after their counters have been multiplied.
pub(super) fn agent_times(factor: u64) -> Agent {
    agent(&CHILDREN.map(|of| Sample {
        answered: of.answered * factor,
        refused: of.refused * factor,
        ..of
    }))
}
