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

/// A claim, but for what is changed.
fn changed(change: impl FnOnce(&mut Incident)) -> Incident {
    let mut incident = claim(1);
    change(&mut incident);
    incident
}

fn child(nsid: i32, ifindex: u32) -> (ChildKey, String) {
    let netns = NetnsId::Nsid(nsid);
    (ChildKey { netns, ifindex }, "eth0".to_owned())
}

#[test]
fn incidents_that_differ_are_separate_entries() {
    let incidents = [
        claim(1),
        claim(2),
        changed(|it| it.kind = Kind::Probe),
        changed(|it| it.address = Some(IpAddr::from([192, 0, 2, 8]))),
        changed(|it| it.child = Some(child(1, 1))),
        changed(|it| it.child = Some(child(1, 2))),
        changed(|it| it.detail = Some("from l3 to l2".to_owned())),
    ];
    let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let mut log = Incidents::new(start);
    for incident in &incidents {
        assert_eq!(log.record(start, wall, incident.clone()), Some(1));
    }
    let kept: Vec<Incident> = log.entries().map(|entry| entry.incident.clone()).collect();
    assert_eq!(kept, incidents);
}

#[test]
fn lines_say_what_is_known() {
    let label = |netns| match netns {
        NetnsId::Own => "(own)".to_owned(),
        NetnsId::Nsid(nsid) => format!("c{nsid}"),
    };
    let of_child = changed(|it| {
        it.child = Some(child(3, 2));
        it.action = Action::Defended;
    });
    let of_port = Incident {
        kind: Kind::ModeChanged,
        address: None,
        mac: None,
        detail: Some("from l3 to l2".to_owned()),
        ..claim(1)
    };
    let rows = [
        (claim(1), "claim of 192.0.2.7, by 02:00:00:00:00:01"),
        (
            of_child,
            "claim of 192.0.2.7, child eth0 in netns c3, by 02:00:00:00:00:01, defended",
        ),
        (of_port, "mode_changed: from l3 to l2"),
    ];
    for (incident, line) in rows {
        assert_eq!(incident.line(&label), line);
    }
}

/// A claim by one of many stations.
fn by(number: u32, child: Option<(ChildKey, String)>) -> Incident {
    let [_, _, high, low] = number.to_be_bytes();
    Incident {
        mac: Some([2, 0, 0, 0, high, low]),
        child,
        ..claim(0)
    }
}

#[test]
fn one_netns_pushes_out_neither_entries_nor_lines_of_others() {
    let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let mut log = Incidents::new(start);
    let mut lines = 0;
    let victim = by(1, Some(child(1, 2)));
    assert_eq!(log.record(start, wall, victim.clone()), Some(1));
    assert_eq!(log.record(start, wall, claim(9)), Some(1));
    for number in 0..2_000 {
        let now = start + Duration::from_millis(u64::from(number));
        lines += usize::from(
            log.record(now, wall, by(number, Some(child(2, 2))))
                .is_some(),
        );
    }
    assert!((10..=13).contains(&lines), "{lines}");
    let kept: Vec<&Incident> = log.entries().map(|entry| &entry.incident).collect();
    assert_eq!(kept.len(), KEPT);
    assert!(kept.contains(&&victim) && kept.contains(&&claim(9)));
    // Another incident of the victim is logged at once.
    let now = start + second(2);
    assert_eq!(log.record(now, wall, by(2, Some(child(1, 2)))), Some(1));
}

#[test]
fn many_macs_neither_fill_the_memory_nor_the_log() {
    let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    let mut log = Incidents::new(start);
    let mut lines = 0;
    for number in 0..10_000_u32 {
        let now = start + Duration::from_millis(u64::from(number));
        lines += usize::from(log.record(now, wall, by(number, None)).is_some());
    }
    assert_eq!(log.entries().len(), KEPT);
    assert!((90..=101).contains(&lines), "{lines}");
}
