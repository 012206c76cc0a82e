use std::{collections::BTreeSet, env, fs, path::Path};

use schemars::{JsonSchema, schema_for};

use super::*;
use crate::{commands, config, doctor::report};

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

/// The file is what a program of another language is generated from.
#[test]
fn description_of_the_interface_is_the_published_one_and_complete() {
    let text = varlink::description().unwrap();
    assert_published("io.ipvlan.Agent.varlink", &text);
    let parsed = zlink::idl::Interface::try_from(&*text).unwrap();
    let types: Vec<_> = parsed
        .custom_types()
        .map(|of| of.name().to_string())
        .collect();
    // It refuses two symbols of one name, too.
    let methods = parsed.methods().map(|of| of.name().to_string());
    let errors = parsed.errors().map(|of| of.name().to_string());
    let symbols: Vec<_> = types.iter().cloned().chain(methods).chain(errors).collect();
    let unique: BTreeSet<_> = symbols.iter().collect();
    assert_eq!(unique.len(), symbols.len(), "{symbols:?}");
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        let names = line.split(|it: char| !it.is_alphanumeric());
        let names = names.filter(|name| name.starts_with(char::is_uppercase));
        for name in names.filter(|name| *name != "Agent") {
            let is_known = types.iter().any(|of| of == name)
                || ["method", "error", "interface"]
                    .iter()
                    .any(|of| line.starts_with(of));
            assert!(is_known, "{name} of `{line}` is not described");
        }
        // `sd-varlink-idl.c` of systemd 257 knows no maps of maps.
        assert!(!line.contains("]["), "{line}");
    }
}

#[test]
fn sender_is_read_as_it_is_written() {
    for text in ["lan", "host", "10.0.0.1", "fe80::1"] {
        let sender: Sender = text.parse().unwrap();
        assert_eq!(sender.to_string(), text);
    }
    for text in ["", "LAN", "10.0.0", "0.0.0.0", "::", "eth0"] {
        assert!(text.parse::<Sender>().is_err(), "{text}");
    }
}

#[test]
fn json_schemas_are_the_published_ones() {
    fn of<T: JsonSchema>() -> String {
        serde_json::to_string_pretty(&schema_for!(T)).unwrap() + "\n"
    }
    for (name, schema) in [
        ("status", of::<Status>()),
        ("children", of::<Children>()),
        ("children-line", of::<Line<ShownChild>>()),
        ("counters", of::<CountersDocument>()),
        ("counters-line", of::<Line<Counter>>()),
        ("config", of::<commands::config::Shown>()),
        ("config-line", of::<Line<config::Setting>>()),
        ("doctor", of::<report::Report>()),
        ("doctor-line", of::<Line<report::Check>>()),
        ("explain", of::<Explained>()),
        ("explain-line", of::<Line<Explanation>>()),
        ("monitor-line", of::<Line<MonitorEvent>>()),
        ("reload", of::<Reloaded>()),
        ("reload-line", of::<Line<ReloadedAgent>>()),
        ("top", of::<Top>()),
        ("top-line", of::<Line<TopChild>>()),
    ] {
        assert_published(&format!("schema/{name}.json"), &schema);
    }
}

/// Compares a text with a file of `docs`. With `UPDATE_DOCS` in the environment, writes it instead.
#[track_caller]
fn assert_published(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == published,
        "docs/{name} differs: write it with UPDATE_DOCS=1"
    );
}
