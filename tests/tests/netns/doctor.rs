//! `ipvlan doctor` beside a running agent: each fault is made, named and mended.

use std::process::Command;

use ipvlan_tests::bpf::{Hook, Program};
use ipvlan_user::doctor::report::{Check, Report, Status};

use crate::common::{Ended, HOST_IP, LAN, Node, PARENT, PATIENCE, as_user};

/// What is wrong with the machine that runs these tests, whatever the node is.
const OF_THE_MACHINE: [&str; 5] = [
    "kernel.ipvlan",
    "kernel.jit",
    "node.netns",
    "netfilter.rules",
    "netfilter.legacy",
];

#[track_caller]
fn report(ended: &Ended) -> Report {
    let report: Report =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    assert_eq!(report.schema, 1);
    let worst = report.checks.iter().map(|check| check.status).max();
    assert_eq!(worst, Some(report.worst), "{report:?}");
    let code = i32::from(report.worst >= Status::Warn);
    assert!(ended.has_ended_with(&[code]), "{ended:?}");
    for check in &report.checks {
        assert_eq!(
            check.why.is_some(),
            check.status >= Status::Warn,
            "{check:?}"
        );
    }
    report
}

/// Examines the node, and leaves out what is wrong with the machine.
#[track_caller]
fn examined(node: &Node, options: &[&str]) -> Vec<Check> {
    let ended = node.ended(node.command("doctor", &[&["--json"], options].concat()));
    assert_eq!(ended.stderr, "", "{ended:?}");
    let mut report = report(&ended);
    report
        .checks
        .retain(|check| !OF_THE_MACHINE.contains(&check.id.as_str()));
    report.checks
}

/// The line of this check is there; returns it.
#[track_caller]
fn line<'a>(checks: &'a [Check], id: &str, subject: &str) -> &'a Check {
    let mut lines = checks.iter();
    let line = lines.find(|check| check.id == id && check.subject == subject);
    line.unwrap_or_else(|| panic!("no {id} {subject} in {checks:#?}"))
}

/// The check has this outcome, and its line this text.
#[track_caller]
fn assert_line(checks: &[Check], id: &str, subject: &str, status: Status, text: &str) {
    let line = line(checks, id, subject);
    assert_eq!(line.status, status, "{line:?}");
    assert!(line.found.contains(text), "{line:?}");
}

#[track_caller]
fn assert_well(node: &Node) -> Vec<Check> {
    let checks = examined(node, &[]);
    let bad: Vec<_> = checks
        .iter()
        .filter(|check| check.status != Status::Ok)
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    checks
}

#[test]
fn doctor_names_each_fault_of_a_node_and_nothing_else() {
    let node = Node::pinned();
    let agent = node.start(&[]);
    let pid = format!("agent {}", agent.pid());
    let well = assert_well(&node);
    for (id, subject, text) in [
        ("kernel.version", "", "Linux "),
        ("kernel.programs", "", "bpf_redirect"),
        ("kernel.bpffs", "", "is on a BPF file system"),
        ("caller.capabilities", "", "every check"),
        ("agent.capabilities", &pid, "the four"),
        ("agent.running", &pid, "serves ens34"),
        ("agent.parent", PARENT, "ready"),
        ("hooks.attached", "ens34 ingress", "parent_ingress by tcx"),
        ("hooks.attached", "ens34 egress", "parent_egress by tcx"),
        ("hooks.order", "ens34 ingress", "no foreign program"),
        ("link.up", PARENT, "with carrier"),
        ("sysctl.rp_filter", PARENT, "rp_filter"),
        ("sysctl.disable_ipv6", PARENT, "= 0"),
        ("child.list", PARENT, "no children"),
    ] {
        assert_line(&well, id, subject, Status::Ok, text);
    }
    // Text for people has a line for each.
    let shown = node.ended(node.command("doctor", &[])).stdout;
    for check in &well {
        assert!(shown.contains(&check.found), "{check:?} in {shown}");
    }

    let foreign = || Program::xdp_pass()?.attach_generic(PARENT);
    let foreign = node.host.run(foreign).unwrap();
    assert_line(
        &examined(&node, &[]),
        "xdp.foreign",
        PARENT,
        Status::Warn,
        "generic XDP program",
    );
    drop(foreign);

    node.cable("m0", "lan1");
    node.on_host("address add 192.0.2.7/24 dev m0");
    assert_line(
        &examined(&node, &[]),
        "link.second",
        PARENT,
        Status::Warn,
        "`m0` has 192.0.2.7/24",
    );
    node.on_host("link delete m0");
    assert_well(&node);

    node.on_lan(&format!("link set {LAN} down"));
    assert_line(
        &examined(&node, &[]),
        "link.carrier",
        PARENT,
        Status::Fail,
        "without carrier",
    );
    node.on_lan(&format!("link set {LAN} up"));
    node.arp(HOST_IP, PATIENCE).unwrap();
    assert_well(&node);

    node.on_host(&format!("link set {PARENT} down"));
    let down = examined(&node, &[]);
    assert_line(&down, "link.up", PARENT, Status::Fail, "down");
    let mend = line(&down, "link.up", PARENT).mend.as_deref().unwrap();
    let command = mend.strip_prefix("ip ").unwrap();
    node.on_host(command);
    node.arp(HOST_IP, PATIENCE).unwrap();
    assert_well(&node);

    let named = examined(&node, &["--iface", "ens99", "--iface", PARENT]);
    assert_line(
        &named,
        "link.present",
        "ens99",
        Status::Fail,
        "no such interface",
    );
    assert_line(&named, "link.up", PARENT, Status::Ok, "up");

    agent.stop().unwrap();
    let stopped = examined(&node, &["--iface", PARENT]);
    assert_line(
        &stopped,
        "agent.running",
        "",
        Status::Warn,
        "no agent is running",
    );
    assert_line(
        &stopped,
        "agent.pinned",
        PARENT,
        Status::Warn,
        "until it is stale",
    );
    assert_line(
        &stopped,
        "agent.parent",
        PARENT,
        Status::Warn,
        "no agent serves it",
    );
}

#[test]
fn doctor_names_programs_that_run_before_ours() {
    let node = Node::new();
    let first = || Program::tc_end(Hook::Tc)?.attach_first(PARENT);
    let before = node.host.run(first).unwrap();
    let agent = node.start(&["--order", "after"]);
    let checks = examined(&node, &[]);
    assert_line(
        &checks,
        "hooks.order",
        "ens34 ingress",
        Status::Warn,
        "TCX program",
    );
    let mend = line(&checks, "hooks.order", "ens34 ingress")
        .mend
        .as_deref();
    assert!(mend.unwrap().contains("ens34"), "{mend:?}");
    drop(before);
    let checks = examined(&node, &[]);
    assert_line(
        &checks,
        "hooks.order",
        "ens34 ingress",
        Status::Ok,
        "no foreign program",
    );
    agent.stop().unwrap();
}

#[test]
fn doctor_without_a_privilege_and_without_an_agent_skips_with_the_reason() {
    let node = Node::new();
    let doctor = node.command("doctor", &["--iface", PARENT, "-o", "json"]);
    let mut command: Command = as_user(65534);
    command.arg(doctor.get_program()).args(doctor.get_args());
    let ended = node.ended(command);
    assert_eq!(ended.stderr, "", "{ended:?}");
    let report = report(&ended);
    for (id, text) in [
        ("kernel.programs", "CAP_BPF"),
        ("caller.capabilities", "CAP_NET_ADMIN"),
        ("child.list", "run as root"),
    ] {
        let line = report.checks.iter().find(|check| check.id == id).unwrap();
        assert_eq!(line.status, Status::Skip, "{line:?}");
        assert!(line.found.contains(text), "{line:?}");
    }
    assert_line(&report.checks, "link.up", PARENT, Status::Ok, "up");
    assert_line(
        &report.checks,
        "agent.parent",
        PARENT,
        Status::Warn,
        "no agent",
    );
}
