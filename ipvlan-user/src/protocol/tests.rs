use super::*;

/// The text of a status with every word of every set is part of schema 1.
#[test]
fn every_word_is_read_and_written_as_in_schema_1() {
    let golden = include_str!("tests/schema_1.json");
    let status: Status = serde_json::from_str(golden).unwrap();
    let read = format!("{status:?}");
    assert!(!read.contains("Other("), "a word is unknown: {read}");
    let text = serde_json::to_string_pretty(&status).unwrap() + "\n";
    assert_eq!(text, golden);
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
