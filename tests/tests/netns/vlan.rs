//! VLAN tags and the XDP program, which does not see those that a driver has taken out of the frame.

use ipvlan_tests::{
    agent::Agent,
    bpf::{Hook, Program},
    ethtool::{self, VLAN_OFFLOAD},
    lab::receive_xdp,
    netns::Netns,
};

use crate::common::{
    PATIENCE, SOON, World, wait_until,
    world::{HOST_IP, LAN, PARENT, counted, hooks_of, parent},
};

const TC: [&str; 2] = ["ingress by tcx", "egress by tcx"];

fn switch(netns: &Netns, device: &str, on: bool) {
    netns
        .run(|| ethtool::switch(device, &VLAN_OFFLOAD, on))
        .unwrap();
}

/// Asks for the host on a VLAN, and expects that no program takes the request for an untagged one.
#[track_caller]
fn ask_tagged(world: &World, agent: &Agent) {
    let before = parent(agent, 0);
    let tags = world
        .lan
        .run(|| Program::tag(Hook::Egress, 100)?.attach(LAN))
        .unwrap();
    let answer = world.arp(HOST_IP, SOON);
    drop(tags);
    assert_eq!(answer, None, "nothing of the host is on that VLAN");
    let after = wait_until(
        PATIENCE,
        "the request is counted as tagged",
        || parent(agent, 0),
        |after| counted(after, "ingress", "tagged") > counted(&before, "ingress", "tagged"),
    );
    assert_eq!(after["counters"]["xdp"], before["counters"]["xdp"]);
}

#[test]
fn xdp_is_not_used_while_vlan_offload_hides_tags_and_a_tagged_request_is_never_taken_for_another() {
    for mode in ["generic", "native"] {
        let world = World::new();
        let _receives = receive_xdp(&world.lan, LAN).unwrap();
        let options = ["--xdp", mode, "--audit", "1"];
        // As veth devices are made: the peer leaves the tag out of the frame.
        switch(&world.host, PARENT, true);
        switch(&world.lan, LAN, true);
        let agent = world.start(&[PARENT], &options);
        let shown = parent(&agent, 0);
        assert_eq!(hooks_of(&shown), TC, "{mode}");
        let fix = format!(
            "VLAN offload of `{PARENT}` is on, which hides VLAN tags from XDP: the TC programs answer \
             (switch it off with `ethtool -K {PARENT} rx-vlan-hw-parse off rx-vlan-stag-hw-parse off`"
        );
        let notes = shown["notes"].to_string();
        assert!(notes.contains(&fix), "{mode}: {notes}");
        assert!(world.arp(HOST_IP, PATIENCE).is_some());
        ask_tagged(&world, &agent);

        switch(&world.host, PARENT, false);
        switch(&world.lan, LAN, false);
        let xdp = format!("xdp by xdp-{mode}");
        let with_xdp = wait_until(
            PATIENCE,
            "XDP is attached once tags are in the frame",
            || parent(&agent, 0),
            |shown| hooks_of(shown) == [TC[0], TC[1], &xdp],
        );
        let notes = with_xdp["notes"].to_string();
        assert!(!notes.contains("VLAN"), "{mode}: {notes}");
        ask_tagged(&world, &agent);
        assert!(world.arp(HOST_IP, PATIENCE).is_some());
        assert!(counted(&parent(&agent, 0), "xdp", "host_address") > 0);

        switch(&world.host, PARENT, true);
        switch(&world.lan, LAN, true);
        wait_until(
            PATIENCE,
            "XDP is detached when an offload is switched on",
            || hooks_of(&parent(&agent, 0)),
            |hooks| *hooks == TC,
        );
        ask_tagged(&world, &agent);
        agent.stop().unwrap();
        world.assert_nothing_attached(&[PARENT]);
    }
}
