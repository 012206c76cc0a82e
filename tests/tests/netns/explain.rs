//! `ipvlan explain`: addresses that need no child, on a live agent.

use std::net::{IpAddr, Ipv4Addr};

use ipvlan_tests::netns::colons;
use ipvlan_user::protocol::{
    AnsweredBy, Explained, Explanation, FrameKind, Hook, OwnerKind, SCHEMA, Verdict,
};

use crate::common::{
    Dir, Ended, HOST_IP, HOST_IP6, LAN_IP, Node, PARENT, PATIENCE, Reports as _, wait_until,
};

/// An address without an owner.
const UNOWNED: &str = "192.0.2.77";
/// A next hop of the host's.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

fn explain(node: &Node, options: &[&str]) -> Ended {
    node.ended(node.command("explain", options))
}

#[track_caller]
fn explained(ended: &Ended) -> Explanation {
    let explained: Explained = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(explained.schema, SCHEMA);
    let [explanation] = &explained.explanations[..] else {
        panic!("one agent runs: {explained:?}");
    };
    explanation.clone()
}

#[test]
fn owner_rule_and_verdict_of_addresses_without_a_child() {
    let node = Node::new();
    node.on_host(&format!("route add default via {GATEWAY}"));
    for xdp in [&[][..], &["--xdp", "generic"]] {
        let agent = node.start(xdp);
        let host: [IpAddr; 2] = [HOST_IP.into(), HOST_IP6.into()];
        let events = || agent.parent(0).events.len();
        // Address, exit code, who answers, the rule that decides, the owner.
        for (address, code, answered, reason, owner) in [
            (
                host[0].to_string(),
                0,
                AnsweredBy::Kernel,
                "host_address",
                Some(OwnerKind::Host),
            ),
            (
                host[1].to_string(),
                0,
                AnsweredBy::Kernel,
                "host_address",
                Some(OwnerKind::Host),
            ),
            (UNOWNED.to_owned(), 1, AnsweredBy::None, "not_ours", None),
            (
                "2001:db8:2::77".to_owned(),
                1,
                AnsweredBy::None,
                "not_ours",
                None,
            ),
            (
                "224.0.0.1".to_owned(),
                1,
                AnsweredBy::None,
                "target_multicast",
                None,
            ),
            (
                "ff02::1".to_owned(),
                1,
                AnsweredBy::None,
                "target_multicast",
                None,
            ),
            (
                "255.255.255.255".to_owned(),
                1,
                AnsweredBy::None,
                "target_broadcast",
                None,
            ),
        ] {
            let shown = explained(&explain(&node, &[&address, "-o", "json"]).exits_silently(code));
            assert_eq!(shown.parent, PARENT);
            assert_eq!(shown.answered, answered, "{shown:?}");
            let decisive: Vec<_> = shown.rules.iter().filter(|rule| rule.decides).collect();
            assert_eq!(decisive.len(), 1, "{shown:?}");
            assert_eq!(decisive[0].reason, reason, "{shown:?}");
            let kind = shown.owners.first().and_then(|owner| owner.kind.clone());
            assert_eq!(kind, owner.map(Into::into), "{shown:?}");
            assert!(shown.frames.iter().all(|of| of.verdict == Verdict::Passed));
            assert!(shown.frames.iter().all(|of| of.program_id != 0));
            let hooks = |kind: FrameKind| {
                let frames = shown.frames.iter().filter(move |of| of.kind == kind);
                frames.map(|of| of.hook.clone()).collect::<Vec<_>>()
            };
            let request = if address.contains(':') {
                FrameKind::Nd
            } else {
                FrameKind::Arp
            };
            let expected: &[Hook] = if xdp.is_empty() {
                &[Hook::Ingress, Hook::Egress]
            } else {
                &[Hook::Xdp, Hook::Ingress, Hook::Egress]
            };
            // The host has no other address to send to its own from.
            let from_host = usize::from(address != host[0].to_string());
            let expected = &expected[..expected.len() - 1 + from_host];
            let found = hooks(request);
            assert!(found.iter().eq(expected.iter()), "{address}: {found:?}");
            assert_eq!(hooks(FrameKind::Ip).len(), 1 + from_host, "{shown:?}");
        }
        assert_eq!(events(), 0, "a frame of a test run was taken for a claim");
        agent.stop().unwrap();
    }
}

#[test]
fn gateway_sender_and_broadcast_of_the_host_are_named_and_frames_are_counted() {
    let node = Node::new();
    node.on_host(&format!("route add default via {GATEWAY}"));
    let agent = node.start(&[]);
    let gateway = GATEWAY.to_string();
    let shown = explained(&explain(&node, &[&gateway, "-o", "json"]).exits_silently(1));
    assert!(
        shown
            .rules
            .iter()
            .any(|rule| rule.reason == "gateway_address")
    );
    assert_eq!(shown.owners[0].kind, Some(OwnerKind::Gateway.into()));
    assert!(
        shown.rules.iter().all(|rule| rule.mend.is_none()),
        "{shown:?}"
    );
    assert_eq!(shown.entry.unwrap().owner, "gateway");
    let shown = explained(&explain(&node, &["192.0.2.255", "-o", "json"]).exits_silently(1));
    assert!(
        shown
            .rules
            .iter()
            .any(|rule| rule.reason == "target_broadcast")
    );

    // The host's own request, one of a station, and what that counts.
    let before = agent.ingress("not_ours");
    let station = LAN_IP.to_string();
    for (from, hook, sender) in [
        ("host", Hook::Egress, HOST_IP),
        (&*station, Hook::Ingress, LAN_IP),
    ] {
        let options = [UNOWNED, "--from", from, "--parent", PARENT, "-o", "json"];
        let shown = explained(&explain(&node, &options).exits_silently(1));
        assert_eq!(shown.frames.len(), 2, "{shown:?}");
        for frame in &shown.frames {
            assert_eq!(frame.hook, hook);
            assert_eq!(frame.sender, sender.to_string());
        }
    }
    let after = || agent.ingress("not_ours");
    wait_until(PATIENCE, "the station's is counted", after, |&it| {
        it > before
    });

    // An address of the host is the sender of frames that leave, so that it is no conflict.
    let host = HOST_IP.to_string();
    let options = [UNOWNED, "--from", &host, "-o", "json"];
    let shown = explained(&explain(&node, &options).exits_silently(1));
    assert!(shown.frames.iter().all(|frame| frame.hook == Hook::Egress));
    assert_eq!(agent.ingress("sender_conflict"), 0);
    assert!(agent.parent(0).events.is_empty());

    let text = explain(&node, &[&host]).exits_silently(0).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        format!("{HOST_IP} on {PARENT}: answered by the kernel")
    );
    assert_eq!(
        lines[1],
        format!("  owner: host {PARENT}, up, {HOST_IP}/24")
    );
    assert_eq!(lines[2], "  map entry: host");
    assert!(
        lines[3].starts_with("  rule decides: host_address: "),
        "{text}"
    );
    assert!(
        !text.contains(&colons(node.mac())),
        "it is not answered by the programs: {text}"
    );
    agent.stop().unwrap();
}

#[test]
fn exit_codes_without_an_agent_and_with_a_wrong_question() {
    let mut node = Node::new();
    node.dir = Dir::created();
    explain(&node, &[UNOWNED])
        .exits_silently(3)
        .prints("no agent is running\nhint: start one: ");
    explain(&node, &["192.0.2.0/24"]).exits(2);
    explain(&node, &[UNOWNED, "--from", "0.0.0.0"])
        .exits(2)
        .reports("the unspecified address");
    let agent = node.start(&[]);
    explain(&node, &[UNOWNED, "--parent", "ens99"])
        .exits_silently(3)
        .prints_only("no agent serves `ens99`\nhint: `ipvlan status --brief` lists the parents that are served\n");
    explain(&node, &[UNOWNED, "--from", "fe80::1"])
        .exits(2)
        .reports("of two families");
    agent.stop().unwrap();
}
