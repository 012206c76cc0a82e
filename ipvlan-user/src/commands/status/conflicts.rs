//! Conflicts and events as text.

use super::{Rows, netns};
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

/// Renders a time span in the largest unit of which it has at least two.
fn ago(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Action, Netns, Rival};

    fn named(name: &str) -> Netns {
        Netns {
            nsid: Some(1),
            names: vec![format!("/run/netns/{name}")],
            ..Netns::default()
        }
    }

    #[test]
    fn a_conflict_is_one_line_with_the_other_owner_and_the_consequence() {
        let none = Rival::default();
        let rows = [
            (
                ConflictKind::HostAddress.into(),
                Rival {
                    interface: Some("ens34".to_owned()),
                    ..none.clone()
                },
                "is the host's, on ens34: not answered for",
            ),
            (
                ConflictKind::GatewayAddress.into(),
                none.clone(),
                "is a gateway's: not answered",
            ),
            (
                ConflictKind::SiblingAddress.into(),
                Rival {
                    interface: Some("ipvl1".to_owned()),
                    netns: Some(named("blue")),
                    ..none.clone()
                },
                "is also on its sibling ipvl1 in blue, which gets it",
            ),
            (
                ConflictKind::OtherParent.into(),
                Rival {
                    interface: Some("ipvl2".to_owned()),
                    netns: Some(Netns::default()),
                    parent: Some("ens35".to_owned()),
                    ..none.clone()
                },
                "is also on ipvl2 in (own), behind ens35: both are answered for",
            ),
            (
                ConflictKind::PeerAddress.into(),
                Rival {
                    peer: Some("10.9.9.2".to_owned()),
                    ..none.clone()
                },
                "has a peer: the driver delivers 10.9.9.2, the peer's, in its place",
            ),
            (
                ConflictKind::LanStation.into(),
                Rival {
                    mac: Some("02:00:00:00:00:09".to_owned()),
                    ..none.clone()
                },
                "is also at 02:00:00:00:00:09 on the LAN",
            ),
            (
                Word::Other("of_the_future".to_owned()),
                none,
                "is in conflict: of_the_future",
            ),
        ];
        for (kind, rival, said) in rows {
            let line = conflict(&Conflict {
                kind,
                address: "10.9.9.1".to_owned(),
                child: "ipvl0".to_owned(),
                netns: named("red"),
                rival,
            });
            assert_eq!(line, format!("10.9.9.1 of ipvl0 in red {said}"));
        }
    }

    #[test]
    fn the_last_events_are_shown_latest_first() {
        let of = |time_ms| Event {
            time_ms,
            kind: Word::Other(format!("at{time_ms}")),
            address: None,
            mac: None,
            parent: "ens34".to_owned(),
            child: None,
            netns: Some(named("red")),
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

    #[test]
    fn a_span_is_in_the_largest_unit_of_which_it_has_two() {
        for (ms, said) in [
            (0, "0 s ago"),
            (119_999, "119 s ago"),
            (120_000, "2 min ago"),
            (7_199_999, "119 min ago"),
            (7_200_000, "2 h ago"),
            (172_800_000, "2 d ago"),
            (u64::MAX, "213503982334 d ago"),
        ] {
            assert_eq!(ago(ms), said);
        }
    }
}
