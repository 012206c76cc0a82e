use super::{super::report::Status, *};
use crate::{
    discover::view::LinkView,
    facts::Xdp,
    protocol::{self, Counters},
};

fn parent(state: ParentState) -> Parent {
    let served = protocol::Parent {
        name: "ens34".to_owned(),
        ifindex: Some(2),
        mac: None,
        up: true,
        mode: None,
        flag: None,
        state: state.into(),
        reason: Some("a reason".to_owned()),
        pinned: None,
        hooks: Vec::new(),
        counters: Counters::default(),
        notes: Vec::new(),
        conflicts: Vec::new(),
        events: Vec::new(),
        groups: 0,
        datapath: protocol::DatapathState::default(),
        totals: protocol::EventTotals::default(),
        children: Vec::new(),
    };
    Parent {
        link: LinkView {
            ifindex: 2,
            name: "ens34".into(),
            mtu: 1500,
            ..LinkView::default()
        },
        served: Some((1, served)),
        children: Vec::new(),
    }
}

fn seen(hook: Hook, survey: Result<Survey, String>) -> Seen {
    let (name, attach) = match hook {
        Hook::Egress => ("parent_egress", Mechanism::Tcx),
        Hook::Ingress => ("parent_ingress", Mechanism::Tcx),
        Hook::Xdp => ("parent_xdp", Mechanism::XdpNative),
    };
    let program = Program {
        hook: hook.into(),
        program: name.to_owned(),
        program_id: 40,
        attach: attach.into(),
    };
    Seen {
        hook,
        program,
        survey,
    }
}

fn survey_with(attached: bool, before: &[bool]) -> Survey {
    let before = before.iter().map(|&ends_the_chain| Foreign {
        name: "TCX program 9 (other)".to_owned(),
        ends_the_chain,
    });
    Survey {
        attached,
        before: before.collect(),
    }
}

fn line(checks: &[Check], id: &str) -> (Status, String) {
    let line = checks.iter().find(|check| check.id == id);
    let line = line.unwrap_or_else(|| panic!("no {id} in {checks:?}"));
    (line.status, line.found.clone())
}

#[test]
fn states_of_a_parent_are_judged() {
    let both = [Hook::Ingress, Hook::Egress].map(|hook| seen(hook, Ok(survey_with(true, &[]))));
    for (state, status) in [
        (ParentState::Ready, Status::Ok),
        (ParentState::Degraded, Status::Warn),
        (ParentState::Waiting, Status::Fail),
    ] {
        let checks = judge(&parent(state), &both);
        assert_eq!(line(&checks, "agent.parent").0, status);
    }
    let unserved = Parent {
        served: None,
        ..parent(ParentState::Ready)
    };
    let checks = judge(&unserved, &[]);
    assert_eq!(line(&checks, "agent.parent").0, Status::Warn);
    assert!(checks[0].mend.as_deref().unwrap().contains("--iface ens34"));
}

#[test]
fn programs_before_ours_are_named() {
    for (survey, id, status, text) in [
        (
            Ok(survey_with(true, &[])),
            "hooks.order",
            Status::Ok,
            "no foreign",
        ),
        (
            Ok(survey_with(true, &[false])),
            "hooks.order",
            Status::Warn,
            "TCX program 9 (other)",
        ),
        (
            Ok(survey_with(true, &[false, true])),
            "hooks.order",
            Status::Fail,
            "passes no frame on",
        ),
        (
            Ok(survey_with(false, &[])),
            "hooks.attached",
            Status::Fail,
            "(program 40) is not",
        ),
        (
            Err("denied".to_owned()),
            "hooks.attached",
            Status::Skip,
            "denied",
        ),
    ] {
        let checks = judge(&parent(ParentState::Ready), &[seen(Hook::Ingress, survey)]);
        let (found_status, found) = line(&checks, id);
        assert_eq!(found_status, status, "{checks:?}");
        assert!(found.contains(text), "{checks:?}");
    }
}

#[test]
fn a_parent_without_an_egress_program_is_named() {
    let one = [seen(Hook::Ingress, Ok(survey_with(true, &[])))];
    let checks = judge(&parent(ParentState::Ready), &one);
    let lines: Vec<_> = checks
        .iter()
        .filter(|it| it.found == "no program at egress")
        .collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].status, Status::Warn);
}

#[test]
fn xdp_is_judged_where_it_is_used() {
    let mut parent = parent(ParentState::Ready);
    assert_eq!(xdp(&parent, &[]), None);
    parent.link.xdp = vec![Xdp {
        mode: XdpMode::Generic,
        program: 9,
    }];
    assert_eq!(xdp(&parent, &[]).unwrap().status, Status::Warn);
    let ours = seen(Hook::Xdp, Ok(survey_with(true, &[])));
    let check = xdp(&parent, &[ours]).unwrap();
    assert_eq!(check.status, Status::Ok);
    assert_eq!(check.found, "xdp-native with an MTU of 1500");
}

#[test]
fn what_a_mode_does_not_do_is_no_fault() {
    let all = [
        "l2: multicast",
        "--order after: x",
        "a child forwards packets",
    ];
    let all = all.map(str::to_owned);
    let statuses: Vec<_> = notes("e", &all).iter().map(|it| it.status).collect();
    assert_eq!(statuses, [Status::Ok, Status::Ok, Status::Warn]);
}
