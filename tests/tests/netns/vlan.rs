//! VLAN tags and the XDP program, which does not see those that a driver has taken out of the frame.

use ipvlan_tests::{
    agent::Agent,
    bpf::{self, Program},
    ethtool::{self, VLAN_OFFLOAD},
    lab::receive_xdp,
};
use ipvlan_user::protocol::{Hook, Word};

use crate::common::{
    HOST_IP, LAN, Node, PARENT, PATIENCE, Reports as _, SOON, TCX, counted, hooks_of, wait_until,
};

/// Switches the VLAN offload of both ends of the cable.
fn switch(node: &Node, on: bool) {
    for (netns, device) in [(&node.host, PARENT), (&node.lan, LAN)] {
        let switch = || ethtool::switch(device, &VLAN_OFFLOAD, on);
        netns.run(switch).unwrap();
    }
}

/// Asks for the host on a VLAN, and expects that no program takes the request for an untagged one.
#[track_caller]
fn ask_tagged(node: &Node, agent: &Agent) {
    let before = agent.parent(0);
    let tag = || Program::tag(bpf::Hook::Egress, 100)?.attach(LAN);
    let tags = node.lan.run(tag).unwrap();
    let answer = node.arp(HOST_IP, SOON);
    drop(tags);
    assert_eq!(answer, None, "nothing of the host is on that VLAN");
    let tagged = counted(&before, Hook::Ingress, "tagged");
    let seen = || agent.parent(0);
    let after = wait_until(PATIENCE, "the request is counted", seen, |after| {
        counted(after, Hook::Ingress, "tagged") > tagged
    });
    let xdp = Word::Known(Hook::Xdp);
    assert_eq!(after.counters.0.get(&xdp), before.counters.0.get(&xdp));
}

#[test]
fn xdp_is_not_used_while_vlan_offload_hides_tags_and_a_tagged_request_is_never_taken_for_another() {
    for mode in ["generic", "native"] {
        println!("{mode}");
        let node = Node::new();
        let _receives = receive_xdp(&node.lan, LAN).unwrap();
        // As veth devices are made: the peer leaves the tag out of the frame.
        switch(&node, true);
        let agent = node.start(&["--xdp", mode, "--audit", "1"]);
        assert_eq!(agent.hooks(), TCX);
        let fix = format!(
            "VLAN offload of `{PARENT}` is on, which hides VLAN tags from XDP: the TC programs answer \
             (switch it off with `ethtool -K {PARENT} rx-vlan-hw-parse off rx-vlan-stag-hw-parse off`"
        );
        assert!(agent.notes().contains(&fix), "{}", agent.notes());
        assert!(node.arp(HOST_IP, PATIENCE).is_some());
        ask_tagged(&node, &agent);

        switch(&node, false);
        let with_xdp = [TCX[0], TCX[1], &format!("xdp by xdp-{mode}")];
        let seen = || agent.parent(0);
        let shown = wait_until(PATIENCE, "XDP once tags are in the frame", seen, |shown| {
            hooks_of(shown) == with_xdp
        });
        assert!(!shown.notes.join("").contains("VLAN"), "{shown:?}");
        ask_tagged(&node, &agent);
        assert!(node.arp(HOST_IP, PATIENCE).is_some());
        assert!(counted(&agent.parent(0), Hook::Xdp, "host_address") > 0);

        switch(&node, true);
        let hooks = || agent.hooks();
        wait_until(PATIENCE, "no XDP with offload", hooks, |hooks| {
            *hooks == TCX
        });
        ask_tagged(&node, &agent);
        node.stops(agent);
    }
}
