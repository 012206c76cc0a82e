//! `ipvlan capture`: frames while it runs, the usual programs before and after.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
};

use ipvlan_tests::agent::Agent;
use nix::sys::signal::Signal;
use pcap_file::pcapng::{
    Block, PcapNgReader,
    blocks::{
        enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
        opt_common::CommonOption,
    },
};

use crate::common::{HOST_IP, Node, PATIENCE, Reports as _, Streaming, ends, wait_until};

fn program_ids(agent: &Agent) -> BTreeSet<u32> {
    let hooks = agent.parent(0).hooks;
    hooks.iter().map(|hook| hook.program_id).collect()
}

#[track_caller]
fn wait_capturing(agent: &Agent, usual: &BTreeSet<u32>) {
    let ids = || program_ids(agent);
    wait_until(PATIENCE, "all programs capture", ids, |ids| {
        ids.is_disjoint(usual)
    });
}

#[track_caller]
fn wait_usual(agent: &Agent, usual: &BTreeSet<u32>) {
    let ids = || program_ids(agent);
    wait_until(PATIENCE, "the usual programs", ids, |ids| ids == usual);
}

fn packets(file: &Path) -> Vec<EnhancedPacketBlock<'static>> {
    let mut reader = PcapNgReader::new(File::open(file).unwrap()).unwrap();
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap().0.into_owned() {
            packets.push(packet);
        }
    }
    packets
}

#[test]
fn frames_come_with_their_verdict_and_the_usual_programs_come_back() {
    let rows: [&[&str]; 3] = [
        &["--attach", "tcx"],
        &["--attach", "clsact"],
        &["--xdp", "generic"],
    ];
    for options in rows {
        println!("{options:?}");
        let node = Node::pinned();
        let agent = node.start(options);
        let usual = program_ids(&agent);
        let links = node.pins().tree();

        // A packet file with as many frames as were asked for.
        let file = node.dir.path().with_extension("pcapng");
        let path = file.to_str().unwrap();
        let host = HOST_IP.to_string();
        let capture = Streaming::start(&node, "capture", &["-w", path, "-c", "2", &host]);
        wait_capturing(&agent, &usual);
        for _ in 0..3 {
            assert!(node.arp(HOST_IP, PATIENCE).is_some());
        }
        let (code, _, stderr) = capture.end();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("2 frames captured, 0 dropped"), "{stderr}");
        let packets = packets(&file);
        fs::remove_file(&file).unwrap();
        assert_eq!(packets.len(), 2);
        // The request, and the host's reply to it or the request at the next hook.
        let comment = CommonOption::Comment("passed host_address".into());
        let comment = EnhancedPacketOption::Common(comment);
        assert!(packets[0].options.contains(&comment), "{packets:?}");
        let is_arp = |packet: &EnhancedPacketBlock<'_>| packet.data[12..14] == [0x08, 0x06];
        assert!(packets.iter().all(is_arp), "{packets:?}");
        wait_usual(&agent, &usual);

        // Lines of text.
        let capture = Streaming::start(&node, "capture", &["-c", "1", &host]);
        wait_capturing(&agent, &usual);
        assert!(node.arp(HOST_IP, PATIENCE).is_some());
        let (code, stdout, stderr) = capture.end();
        assert_eq!(code, Some(0), "{stderr}");
        let line = format!("passed host_address: ARP, Request who-has {HOST_IP} tell ");
        assert!(stdout.contains(&line) && stdout.ends_with('\n'), "{stdout}");
        wait_usual(&agent, &usual);

        // A signal ends it with its counts.
        let capture = Streaming::start(&node, "capture", &["192.0.2.77"]);
        wait_capturing(&agent, &usual);
        capture.signal(Signal::SIGINT);
        let (code, stdout, stderr) = capture.end();
        assert_eq!((code, &*stdout), (Some(0), ""), "{stderr}");
        assert!(stderr.contains("0 frames captured, 0 dropped"), "{stderr}");
        wait_usual(&agent, &usual);

        // A client that is killed leaves nothing either.
        let capture = Streaming::start(&node, "capture", &["--iface", "ens34"]);
        wait_capturing(&agent, &usual);
        capture.signal(Signal::SIGKILL);
        capture.end();
        wait_usual(&agent, &usual);
        assert_eq!(node.pins().tree(), links);
        agent.stop().unwrap();
    }
}

#[test]
fn programs_that_capture_outlive_a_killed_agent_and_the_next_one_replaces_them() {
    let node = Node::pinned();
    let agent = node.start(&[]);
    let usual = program_ids(&agent);
    let capture = Streaming::start(&node, "capture", &[]);
    wait_capturing(&agent, &usual);
    let capturing = program_ids(&agent);
    ends(agent, Signal::SIGKILL);
    let (code, _, stderr) = capture.end();
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("the agent has stopped"), "{stderr}");
    node.pins().assert_programs_run(&node);
    let agent = node.start(&[]);
    assert!(program_ids(&agent).is_disjoint(&capturing));

    // An agent that stops attaches the usual programs first.
    let usual = program_ids(&agent);
    let capture = Streaming::start(&node, "capture", &[]);
    wait_capturing(&agent, &usual);
    ends(agent, Signal::SIGTERM);
    capture.end();
    assert_eq!(attached_ids(&node), usual);
    node.pins().assert_programs_run(&node);
}

/// The programs that the pinned links run.
fn attached_ids(node: &Node) -> BTreeSet<u32> {
    use aya::programs::links::{FdLink, PinnedLink};
    let pins = ["ingress", "egress"].map(|name| node.pins().parent().join(name));
    let id = |pin| {
        let link = FdLink::from(PinnedLink::from_pin(pin).unwrap());
        link.info().unwrap().program_id()
    };
    pins.map(id).into_iter().collect()
}

#[test]
fn what_cannot_be_captured_has_a_reason_and_an_exit_code() {
    let node = Node::pinned();
    node.ended(node.command("capture", &[])).exits(3);
    let agent = node.start(&[]);
    let usual = program_ids(&agent);
    let fails = |options: &[&str], code: i32, text: &str| {
        node.ended(node.command("capture", options))
            .exits(code)
            .reports(text);
    };
    fails(&["--iface", "ens99"], 3, "no agent serves `ens99`");
    fails(&["nobody"], 1, "no parent has a child `nobody`");
    node.ended(node.command("capture", &["-c", "0"])).exits(2);
    assert_eq!(program_ids(&agent), usual);
    agent.stop().unwrap();

    let node = Node::new();
    let agent = node.start(&[]);
    node.ended(node.command("capture", &[]))
        .exits(1)
        .reports("its maps are not pinned");
    agent.stop().unwrap();
}
