use super::*;
use crate::{facts::NetnsId, model::ChildKey};

fn claim(mac: u8) -> Incident {
    Incident {
        kind: Kind::Claim,
        address: Some(IpAddr::from([192, 0, 2, 7])),
        mac: Some([2, 0, 0, 0, 0, mac]),
        child: None,
        action: Action::None,
        detail: None,
    }
}

fn second(number: u64) -> Duration {
    Duration::from_secs(number)
}

#[test]
fn the_same_again_is_one_entry_and_a_line_every_ten_seconds() {
    let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let mut log = Incidents::new(start);
    let mut lines = Vec::new();
    for at in 0..25 {
        let mut incident = claim(1);
        if at == 3 {
            incident.action = Action::Defended;
        }
        let times = log.record(start + second(at), wall + second(at), incident);
        lines.extend(times.map(|times| (at, times)));
    }
    assert_eq!(lines, [(0, 1), (10, 10), (20, 10)]);
    let entries: Vec<&Entry> = log.entries().collect();
    let [entry] = entries[..] else {
        panic!("{entries:?}");
    };
    assert_eq!(entry.incident.action, Action::Defended);
    assert_eq!((entry.first, entry.last), (wall, wall + second(24)));
    assert_eq!(entry.times, 25);
}

#[test]
fn incidents_that_differ_are_separate_entries() {
    let child = |ifindex| {
        let netns = NetnsId::Nsid(1);
        Some((ChildKey { netns, ifindex }, "eth0".to_owned()))
    };
    let incidents = [
        claim(1),
        claim(2),
        Incident {
            kind: Kind::Probe,
            ..claim(1)
        },
        Incident {
            address: Some(IpAddr::from([192, 0, 2, 8])),
            ..claim(1)
        },
        Incident {
            child: child(1),
            ..claim(1)
        },
        Incident {
            child: child(2),
            ..claim(1)
        },
        Incident {
            detail: Some("from l3 to l2".to_owned()),
            ..claim(1)
        },
    ];
    let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let mut log = Incidents::new(start);
    for incident in &incidents {
        assert_eq!(log.record(start, wall, incident.clone()), Some(1));
    }
    let kept: Vec<Incident> = log.entries().map(|entry| entry.incident.clone()).collect();
    assert_eq!(kept, incidents);
}

fn label(netns: NetnsId) -> String {
    match netns {
        NetnsId::Own => "(own)".to_owned(),
        NetnsId::Nsid(nsid) => format!("c{nsid}"),
    }
}

#[test]
fn lines_say_what_is_known() {
    let child = ChildKey {
        netns: NetnsId::Nsid(3),
        ifindex: 2,
    };
    let rows = [
        (claim(1), "claim of 192.0.2.7, by 02:00:00:00:00:01"),
        (
            Incident {
                child: Some((child, "eth0".to_owned())),
                action: Action::Defended,
                ..claim(1)
            },
            "claim of 192.0.2.7, child eth0 in netns c3, by 02:00:00:00:00:01, defended",
        ),
        (
            Incident {
                kind: Kind::ModeChanged,
                address: None,
                mac: None,
                detail: Some("from l3 to l2".to_owned()),
                ..claim(1)
            },
            "mode_changed: from l3 to l2",
        ),
    ];
    for (incident, line) in rows {
        assert_eq!(incident.line(&label), line);
    }
}

fn of_netns(nsid: i32, mac: u32) -> Incident {
    let [_, _, high, low] = mac.to_be_bytes();
    let netns = NetnsId::Nsid(nsid);
    Incident {
        mac: Some([2, 0, 0, 0, high, low]),
        child: Some((ChildKey { netns, ifindex: 2 }, "eth0".to_owned())),
        ..claim(0)
    }
}

#[test]
fn one_netns_pushes_out_neither_entries_nor_lines_of_others() {
    let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let mut log = Incidents::new(start);
    let mut lines = 0;
    let victim = of_netns(1, 1);
    assert_eq!(log.record(start, wall, victim.clone()), Some(1));
    assert_eq!(log.record(start, wall, claim(9)), Some(1));
    for number in 0..2_000 {
        let now = start + Duration::from_millis(u64::from(number));
        lines += usize::from(log.record(now, wall, of_netns(2, number)).is_some());
    }
    assert!((10..=13).contains(&lines), "{lines}");
    let kept: Vec<&Incident> = log.entries().map(|entry| &entry.incident).collect();
    assert_eq!(kept.len(), KEPT);
    assert!(kept.contains(&&victim) && kept.contains(&&claim(9)));
    // Another incident of the victim is logged at once.
    let now = start + second(2);
    assert_eq!(log.record(now, wall, of_netns(1, 2)), Some(1));
}

#[test]
fn many_macs_neither_fill_the_memory_nor_the_log() {
    let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let mut log = Incidents::new(start);
    let mut lines = 0;
    for number in 0..10_000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        let incident = Incident {
            mac: Some([2, 0, 0, 0, high, low]),
            ..claim(0)
        };
        let now = start + Duration::from_millis(u64::from(number));
        lines += usize::from(log.record(now, wall, incident).is_some());
    }
    assert_eq!(log.entries().len(), KEPT);
    assert!((90..=101).contains(&lines), "{lines}");
}
