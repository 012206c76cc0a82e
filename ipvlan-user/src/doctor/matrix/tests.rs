use super::{
    super::{
        report::Status,
        samples::{child as sample, link, node},
    },
    *,
};
use crate::{
    facts::{Mode, PortFlag},
    protocol::Hook,
};

const V4: &str = "172.16.91.101";

fn reply() -> Outcome {
    Outcome::Reply(Duration::from_millis(2))
}

/// Returns the outcome of the host's requests to the child.
fn tried(outcome: Outcome) -> Trials {
    Trials {
        host: HashMap::from([(V4.parse().unwrap(), outcome)]),
        children: HashMap::new(),
    }
}

fn status(checks: &[Check], id: &str, text: &str) -> Status {
    let line = checks
        .iter()
        .find(|it| it.id == id && it.subject.contains(text));
    line.unwrap_or_else(|| panic!("no {id} {text} in {checks:?}"))
        .status
}

#[test]
fn every_path_of_a_node_with_an_agent_is_expected_to_work() {
    for mode in [Mode::L2, Mode::L3, Mode::L3s] {
        let mut node = node(mode);
        node.parents[0].children.push(sample(mode));
        let checks = judge(&node, &Trials::default());
        assert!(
            checks.iter().all(|it| it.status == Status::Ok),
            "{checks:?}"
        );
        for id in [
            "matrix.host-child",
            "matrix.child-host",
            "matrix.lan-child",
            "matrix.child-child",
        ] {
            let of_both: Vec<_> = checks.iter().filter(|it| it.id == id).collect();
            assert!(of_both.len() >= 2, "{id} {checks:?}");
            assert!(
                of_both.iter().all(|it| it.found.starts_with("derived: ")),
                "{of_both:?}"
            );
        }
    }
}

#[test]
fn without_an_agent_only_l2_children_reach_the_lan() {
    for (mode, lan) in [
        (Mode::L2, Status::Ok),
        (Mode::L3, Status::Fail),
        (Mode::L3s, Status::Fail),
    ] {
        let mut node = node(mode);
        node.parents[0].served = None;
        let checks = judge(&node, &Trials::default());
        assert_eq!(status(&checks, "matrix.lan-child", V4), lan, "{mode}");
        assert_eq!(
            status(&checks, "matrix.host-child", V4),
            Status::Fail,
            "{mode}"
        );
        assert_eq!(
            status(&checks, "matrix.child-host", ""),
            Status::Fail,
            "{mode}"
        );
    }
}

#[test]
fn what_was_tried_takes_precedence() {
    let checks = judge(&node(Mode::L3), &tried(reply()));
    let line = checks.iter().find(|it| it.subject.ends_with(V4)).unwrap();
    assert_eq!(line.found, "tried: a reply within 2 ms");
    let silent = judge(
        &node(Mode::L3),
        &tried(Outcome::Silence(Some("refused".into()))),
    );
    assert_eq!(status(&silent, "matrix.host-child", V4), Status::Warn);
    let denied = judge(&node(Mode::L3), &tried(Outcome::Denied));
    assert_eq!(status(&denied, "matrix.host-child", V4), Status::Ok);
    let mut alone = node(Mode::L3);
    alone.parents[0].served = None;
    let silent = judge(&alone, &tried(Outcome::Silence(None)));
    assert_eq!(status(&silent, "matrix.host-child", V4), Status::Fail);
    // A shim reaches it without an agent.
    let reached = judge(&alone, &tried(reply()));
    assert_eq!(status(&reached, "matrix.host-child", V4), Status::Ok);
}

#[test]
fn what_breaks_a_path_is_its_reason() {
    type Fault = fn(&mut Node);
    let rows: [(Fault, &str, &str); 4] = [
        (
            |it| it.parents[0].link.carrier = false,
            "matrix.lan-child",
            "without carrier",
        ),
        (
            |it| it.parents[0].children[0].up = false,
            "matrix.host-child",
            "child is down",
        ),
        (
            |it| {
                let (_, served) = it.parents[0].served.as_mut().unwrap();
                served.hooks.retain(|hook| hook.hook != Hook::Egress);
            },
            "matrix.host-child",
            "egress",
        ),
        (
            |it| it.parents[0].served = None,
            "matrix.lan-child",
            "no one answers",
        ),
    ];
    for (fault, id, why) in rows {
        let mut node = node(Mode::L3);
        fault(&mut node);
        let checks = judge(&node, &Trials::default());
        let line = checks.iter().find(|it| it.id == id).unwrap();
        assert_eq!(line.status, Status::Fail);
        assert!(line.why.as_deref().unwrap().contains(why), "{line:?}");
    }
}

#[test]
fn isolated_children_are_meant_not_to_reach_each_other() {
    for flag in [PortFlag::Private, PortFlag::Vepa] {
        let mut node = node(Mode::L3);
        node.parents[0].children.push(sample(Mode::L3));
        for child in &mut node.parents[0].children {
            child.flag = Some(flag);
        }
        let checks = judge(&node, &Trials::default());
        let line = checks
            .iter()
            .find(|it| it.id == "matrix.child-child")
            .unwrap();
        assert_eq!(line.status, Status::Ok);
        assert!(line.found.contains("as intended"), "{line:?}");
    }
}

#[test]
fn children_of_two_parents_reach_each_other_over_the_lan() {
    let mut node = node(Mode::L3);
    let mut other = node.parents[0].clone();
    other.link = link(3, "ens35");
    node.parents.push(other);
    let checks = judge(&node, &Trials::default());
    assert_eq!(status(&checks, "matrix.other-parent", V4), Status::Ok);
    node.parents[1].served = None;
    let checks = judge(&node, &Trials::default());
    assert_eq!(status(&checks, "matrix.other-parent", V4), Status::Fail);
}

#[test]
fn children_beyond_the_eighth_are_counted() {
    let mut node = node(Mode::L3);
    node.parents[0].children = vec![sample(Mode::L3); TRIED + 2];
    let checks = judge(&node, &Trials::default());
    let line = checks.iter().find(|it| it.id == "matrix.more").unwrap();
    assert!(line.found.starts_with("2 children were"), "{line:?}");
    let tried = checks
        .iter()
        .filter(|it| it.id == "matrix.host-child")
        .count();
    assert_eq!(tried, TRIED * 2);
}
