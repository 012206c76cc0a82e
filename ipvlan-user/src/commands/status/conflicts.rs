//! Conflicts and events as text.

use super::{Rows, netns, screen::ago};
use crate::protocol::{Conflict, ConflictKind, Event, Word};

/// How many events are shown.
const SHOWN: usize = 10;

/// Returns one line about a conflict.
pub(super) fn conflict(conflict: &Conflict) -> String {
    let rival = &conflict.rival;
    let name = rival.interface.as_deref().unwrap_or("?");
    let child = || match &rival.netns {
        Some(of) => format!("{name} in {}", netns(of)),
        None => name.to_owned(),
    };
    let who = match &conflict.kind {
        Word::Known(ConflictKind::HostAddress) => format!("is the host's, on {name}: not answered for"),
        Word::Known(ConflictKind::GatewayAddress) => "is a gateway's: not answered".to_owned(),
        Word::Known(ConflictKind::NextHop) => {
            "is a next hop of a route of the host; the child had it before the route and is answered"
                .to_owned()
        }
        Word::Known(ConflictKind::SiblingAddress) => format!("is also on its sibling {}, which gets it", child()),
        Word::Known(ConflictKind::OtherParent) => format!(
            "is also on {}, behind {}: both are answered for",
            child(),
            rival.parent.as_deref().unwrap_or("another parent")
        ),
        Word::Known(ConflictKind::PeerAddress) => format!(
            "has a peer: the driver delivers {}, the peer's, in its place",
            rival.peer.as_deref().unwrap_or("?")
        ),
        Word::Known(ConflictKind::LanStation) => format!(
            "is also at {} on the LAN",
            rival.mac.as_deref().unwrap_or("?")
        ),
        Word::Other(kind) => format!("is in conflict: {kind}"),
    };
    format!(
        "{} of {} in {} {who}",
        conflict.address,
        conflict.child,
        netns(&conflict.netns)
    )
}

/// Returns the last events, the latest first.
pub(super) fn events(events: &[Event], now_ms: u64) -> Rows {
    let mut rows = Rows::new([
        "EVENT", "ADDRESS", "MAC", "CHILD", "NETNS", "DONE", "TIMES", "LAST",
    ]);
    for event in events.iter().rev().take(SHOWN) {
        let or_dash = |text: Option<&String>| text.map_or("-", String::as_str).to_owned();
        rows.add(&[
            event.kind.to_string(),
            or_dash(event.address.as_ref()),
            or_dash(event.mac.as_ref()),
            or_dash(event.child.as_ref()),
            event.netns.as_ref().map_or_else(|| "-".to_owned(), netns),
            match &event.detail {
                Some(detail) => format!("{}: {detail}", event.action),
                None => event.action.to_string(),
            },
            event.count.to_string(),
            ago(now_ms.saturating_sub(event.time_ms)),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::{Action, Netns};

    #[test]
    fn a_conflict_is_one_line_with_the_other_owner_and_the_consequence() {
        let netns = |names: &[&str]| json!({"nsid": 1, "names": names});
        let rows = [
            (
                "host_address",
                json!({"interface": "ens34"}),
                "is the host's, on ens34: not answered for",
            ),
            ("gateway_address", json!({}), "is a gateway's: not answered"),
            (
                "sibling_address",
                json!({"interface": "ipvl1", "netns": netns(&["/run/netns/blue"])}),
                "is also on its sibling ipvl1 in blue, which gets it",
            ),
            (
                "other_parent",
                json!({"interface": "ipvl2", "netns": {"names": []}, "parent": "ens35"}),
                "is also on ipvl2 in (own), behind ens35: both are answered for",
            ),
            (
                "peer_address",
                json!({"peer": "10.9.9.2"}),
                "has a peer: the driver delivers 10.9.9.2, the peer's, in its place",
            ),
            (
                "lan_station",
                json!({"mac": "02:00:00:00:00:09"}),
                "is also at 02:00:00:00:00:09 on the LAN",
            ),
            ("of_the_future", json!({}), "is in conflict: of_the_future"),
        ];
        for (kind, rival, said) in rows {
            let line = json!({
                "kind": kind, "rival": rival,
                "address": "10.9.9.1", "child": "ipvl0", "netns": netns(&["/run/netns/red"]),
            });
            let line = conflict(&serde_json::from_value(line).unwrap());
            assert_eq!(line, format!("10.9.9.1 of ipvl0 in red {said}"));
        }
    }

    #[test]
    fn the_last_events_are_shown_latest_first() {
        let netns = Netns {
            nsid: Some(1),
            names: vec!["red".to_owned()],
            ..Netns::default()
        };
        let of = |time_ms| Event {
            time_ms,
            kind: Word::Other(format!("at{time_ms}")),
            address: None,
            mac: None,
            parent: "ens34".to_owned(),
            child: None,
            netns: Some(netns.clone()),
            action: Action::Defended.into(),
            detail: None,
            count: 3,
        };
        let all: Vec<Event> = (0..12).map(|second| of(second * 1000)).collect();
        let lines: Vec<String> = events(&all, 20_000).lines().collect();
        assert_eq!(lines.len(), 1 + SHOWN);
        let words: Vec<&str> = lines[1].split_whitespace().collect();
        let latest = [
            "at11000", "-", "-", "-", "red", "defended", "3", "9", "s", "ago",
        ];
        assert_eq!(words, latest);
        assert!(lines[SHOWN].contains("at2000"), "{lines:?}");
        assert!(events(&[], 0).is_empty());
    }
}
