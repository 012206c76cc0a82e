//! What `ipvlan cleanup` removes, and what it leaves.

use std::{fs, os::unix::fs::symlink, process::Command};

use ipvlan_tests::bpf::{Hook, Program};
use nix::sys::signal::Signal;

use crate::common::{
    Config, Dir, Node, OTHER, PARENT, Reports as _, SOON, ends, ipvlan,
    tc::{FOREIGN_FILTER, tc},
    wait_until,
};

#[test]
fn cleanup_removes_what_is_ours_and_nothing_else() {
    for attach in ["tcx", "clsact"] {
        let node = Node::pinned();
        tc(&node, &format!("qdisc add dev {PARENT} clsact"));
        tc(&node, FOREIGN_FILTER);
        // With filters it would run before ours, and the agent would not be ready.
        let drop_all = || Program::tc_drop(Hook::Tc)?.attach(PARENT);
        let _foreign = (attach == "tcx").then(|| node.host.run(drop_all).unwrap());
        let shown = || {
            let filters = format!("filter show dev {PARENT} ingress");
            (node.attached(&[PARENT]), tc(&node, &filters))
        };
        let before = shown();

        let agent = node.start(&["--attach", attach, "--xdp", "generic"]);
        let error = format!(
            "error: an agent serves `{PARENT}` (pid {}): nothing of it was removed\nhint: stop the agent first",
            agent.pid()
        );
        let refused = node.cleanup(&[]).exits(75);
        refused.reports(&error).prints_only("");
        assert_eq!(agent.hooks().len(), 3);
        ends(agent, Signal::SIGKILL);
        assert_ne!(node.attached(&[PARENT]), before.0);

        let nothing = "nothing to clean up\n";
        node.cleanup(&["--iface", "lo"]).prints_only(nothing);
        assert_removed(&node, &["--iface", PARENT], 0, PARENT);
        // As in `Topology::wait_nothing_attached`.
        wait_until(SOON, "as before", shown, |now| *now == before);
        assert_eq!(node.pins().tree(), [""; 0]);
        node.cleanup(&[]).exits(0).prints_only(nothing);
        assert!(!node.dir.path().exists(), "{:?}", node.dir.files());
    }
}

/// Cleanup removes what is attached to `parent`, and ends with this code.
#[track_caller]
fn assert_removed(node: &Node, options: &[&str], code: i32, parent: &str) {
    let ended = node.cleanup(options).exits(code);
    let removed = format!("removed {parent}: ");
    assert!(ended.stdout.starts_with(&removed), "{ended:?}");
}

/// As root does for the agent of a service, which runs as a user of its own.
#[test]
fn cleanup_removes_what_another_user_pinned_and_follows_no_link_of_his() {
    let node = Node::pinned();
    ends(node.start(&[]), Signal::SIGKILL);
    let kept = Dir::created();
    fs::write(kept.path().join("file"), "").unwrap();
    symlink(kept.path(), node.pins().parent().join("v0")).unwrap();
    let mut own = Command::new("chown");
    own.args(["-R", "-h", "65534:65534"]).arg(node.pin_dir());
    assert!(own.status().unwrap().success());
    assert_removed(&node, &[], 0, PARENT);
    node.wait_nothing_attached(&[PARENT]);
    assert_eq!(node.pins().tree(), [""; 0]);
    assert_eq!(kept.files(), ["file"]);
}

#[test]
fn cleanup_of_an_interface_that_is_not_there_is_an_error() {
    let node = Node::pinned();
    node.cable(OTHER, "lan1");
    for parent in [PARENT, OTHER] {
        ends(node.start_on(&[parent], &[]), Signal::SIGKILL);
    }
    let error = "error: there is no interface `nosuch` in this network namespace, and nothing is pinned for one\n\
                 hint: interfaces here: ";
    let ended = node.cleanup(&["--iface", "nosuch", "--iface", PARENT]);
    let ended = ended.exits(1).reports(error);
    assert!(ended.stdout.starts_with("removed ens34: "), "{ended:?}");
    // It is gone, its pins are not.
    node.on_host("link delete ens35");
    assert_removed(&node, &["--iface", OTHER], 0, OTHER);
    let again = node.cleanup(&["--iface", OTHER]);
    again.exits(1).prints_only("");
    assert_eq!(node.pins().tree(), [""; 0]);
}

#[test]
fn cleanup_looks_where_the_configuration_says() {
    let node = Node::pinned();
    let config = Config::of_directories(&node, "");
    ends(node.start(&[]), Signal::SIGKILL);
    let mut command = Command::new(ipvlan());
    command.arg("cleanup").args(config.options());
    let ended = node.ended(command).exits(0);
    assert!(ended.stdout.starts_with("removed ens34: "), "{ended:?}");
    assert_eq!(node.pins().tree(), [""; 0]);
    assert!(!node.dir.path().exists(), "{:?}", node.dir.files());
}

#[test]
fn cleanup_removes_the_filters_of_a_killed_agent_that_did_not_pin() {
    let node = Node::pinned();
    let agent = node.start(&["--no-pin", "--attach", "clsact"]);
    agent.kill().unwrap();
    let ended = node.cleanup(&[]);
    ended.prints_only("removed ens34: 2 filters\n");
    node.assert_nothing_attached(&[PARENT]);
}
