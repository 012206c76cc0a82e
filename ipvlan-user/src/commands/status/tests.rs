use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::protocol::{Agent, Netns};

/// The status of schema 1 with this text in every place that an agent fills, and one element in each list.
fn hostile(text: &str) -> Status {
    fn fill(value: &mut Value, text: &str) {
        match value {
            Value::String(of) => text.clone_into(of),
            Value::Array(all) => {
                all.truncate(1);
                for of in all {
                    fill(of, text);
                }
            }
            Value::Object(all) => {
                for (_, of) in all {
                    fill(of, text);
                }
            }
            _ => {}
        }
        if let Some(counters) = value.get_mut("counters") {
            *counters = serde_json::json!({ text: { text: 1 } });
        }
    }
    let schema = include_str!("../../protocol/tests/schema_1.json");
    let mut status = serde_json::from_str(schema).unwrap();
    fill(&mut status, text);
    serde_json::from_value(status).unwrap()
}

fn is_printable(text: &str) -> bool {
    text.split('\n').all(|line| {
        !line.contains(|of: char| {
            of.is_control() || ['\u{202e}', '\u{2066}', '\u{2028}'].contains(&of)
        })
    })
}

#[test]
fn agent_controls_neither_the_terminal_nor_where_a_line_begins() {
    let usual = render(&hostile("text"), 0);
    for text in [
        "\u{1b}[31m\u{1b}]0;x\u{7}",
        "a\nagent 7",
        "\u{9b}",
        "\u{202e}",
        "\r",
        "\0",
        "\u{7f}",
    ] {
        let shown = render(&hostile(text), 0);
        assert!(is_printable(&shown), "{shown:?}");
        assert_eq!(shown.lines().count(), usual.lines().count(), "{shown}");
        let json = json::render(&hostile(text)).unwrap();
        assert!(is_printable(&json), "{json:?}");
        assert_eq!(
            serde_json::from_str::<Status>(&json).unwrap(),
            hostile(text)
        );
    }
}

#[test]
fn huge_texts_are_cut() {
    let shown = render(&hostile(&"x".repeat(1 << 20)), 0);
    assert!(shown.len() < 200_000, "{}", shown.len());
}

#[test]
fn socket_without_an_answer_is_shown_beside_the_agents() {
    let mut status = hostile("text");
    status.unanswered[0].socket = "/run/ipvlan/7.sock".to_owned();
    status.unanswered[0].error = "the agent with pid 7 does not answer".to_owned();
    let line = "\n/run/ipvlan/7.sock: the agent with pid 7 does not answer\n";
    assert!(render(&status, 0).contains(line));
    status.agents.clear();
    let shown = render(&status, 0);
    assert!(shown.starts_with(&line[1..]), "{shown}");
}

#[test]
fn an_exceeded_quota_is_one_line_with_its_option() {
    let netns = Netns {
        nsid: Some(3),
        names: vec!["cni-1234".to_owned()],
        ..Netns::default()
    };
    for (quota, option, line) in [
        (
            "addresses",
            "--netns-addresses",
            "quota: netns cni-1234: addresses: 7 or more addresses are not kept (--netns-addresses: 9)",
        ),
        (
            "events",
            "--netns-events",
            "quota: netns cni-1234: events: 7 events were not handled (--netns-events: 9 per second)",
        ),
        (
            "addresses",
            "[[rule]] addresses",
            "quota: netns cni-1234: addresses: 7 or more addresses are not kept ([[rule]] addresses: 9)",
        ),
        (
            "time",
            "--netns-time",
            "quota: netns cni-1234: time: 7 readings were delayed (--netns-time: 9 % of a processor)",
        ),
        (
            "later",
            "--netns-later",
            "quota: netns cni-1234: later: 7 times exceeded (--netns-later: 9)",
        ),
    ] {
        let exceeded = ExceededQuota {
            netns: netns.clone(),
            quota: serde_json::from_value(quota.into()).unwrap(),
            limit: 9,
            exceeded: 7,
            option: option.to_owned(),
        };
        assert_eq!(quota_line(&exceeded), line);
    }
}

proptest! {
    #[test]
    fn any_answer_of_an_agent_is_refused_or_rendered(
        at in any::<prop::sample::Index>(),
        put in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..8),
            r#"(null|-1|1e400|[0-9]{30}|"|\\\\u00[0-9a-f]{2}|[\[\]{}:,]){1,4}"#.prop_map(String::into_bytes),
        ],
        length in 0_usize..8,
    ) {
        let mut bytes = serde_json::to_vec(&hostile("text").agents[0]).unwrap();
        let from = at.index(bytes.len());
        let to = (from + length).min(bytes.len());
        bytes.splice(from..to, put);
        if let Ok(agent) = serde_json::from_slice::<Agent>(&bytes) {
            let status = Status { agents: vec![agent], ..hostile("text") };
            prop_assert!(is_printable(&render(&status, u64::MAX)));
            prop_assert!(is_printable(&json::render(&status).unwrap()));
        }
    }

    #[test]
    fn any_status_is_rendered_with_printable_characters_only(text in any::<String>(), now in any::<u64>()) {
        let status = hostile(&text);
        prop_assert!(is_printable(&render(&status, now)));
        let json = json::render(&status).unwrap();
        prop_assert!(is_printable(&json));
        prop_assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
    }
}
