//! What holds behind every card.

use super::card::{Card, E1000, E1000E, VIRTIO, VMXNET3};
use crate::{
    bpf::Program,
    ethtool,
    netlink::Netlink,
    probe::tcp::{self, Exchange},
    rows::{prelude::*, row::Kind::Held, tagged},
};

const INPUT: &str = "l2, l3; IPv4, IPv6; pings and TCP; the card's multicast filter, checksum and VLAN \
                     offloads; --xdp native and generic";
const EXPECTED: &str = "LAN and host reach children, both ways, TCP intact; requests on VLAN 100 unanswered; \
                        native XDP, or refused with a hint";

pub(super) const ROWS: &[Row] = &[
    row("e1000", |play| serves(play, &E1000)),
    row("e1000e", |play| serves(play, &E1000E)),
    row("vmxnet3", |play| serves(play, &VMXNET3)),
    row("virtio-net", |play| serves(play, &VIRTIO)),
];

const fn row(card: &'static str, run: fn(&Play) -> Result<()>) -> Row {
    Row::new(card, Held, INPUT, EXPECTED, Run::Own(run))
}

/// What computes checksums of all that is sent.
const CHECKSUMS: &str = "tx-checksum-ip-generic";
/// What takes tags out of received frames.
const VLAN_FROM_FRAME: &str = "rx-vlan-hw-parse";
/// Of a TCP connection, each way.
const BYTES: usize = 128 * 1024;
/// How long a ping by a card takes at most, also right after its link came back.
const REACHED_WITHIN: Duration = Duration::from_secs(5);
/// How long frames that pass the filter of a card take at most.
const PASSES_WITHIN: Duration = Duration::from_millis(300);

fn serves(play: &Play, card: &Card) -> Result<()> {
    let mut scene = Scene::on(play, card.site(Mode::L3)?);
    filtered(&scene)?;
    let parent = &scene.host;
    let checksums = parent.run(|| ethtool::has(PARENT, CHECKSUMS))?;
    scene.expect_eq("checksum offload", checksums, card.checksums);
    tagged::add_vlan(&scene.site)?;

    for mode in [Mode::L3, Mode::L2] {
        if mode != scene.mode {
            scene.change_mode(mode)?;
        }
        scene.start(&[])?;
        everybody_reached(&scene)?;
        untagged_alone(&scene)?;
        scene.clear()?;
    }
    scene.change_mode(Mode::L3)?;
    by_xdp(&mut scene, card)
}

/// Asks the card for children whose groups nobody has joined: solicitations must not pass its filter, or
/// later answers to them would prove nothing.
fn filtered(scene: &Scene) -> Result<()> {
    let Site { host, vm01, .. } = &scene.site;
    let mac = vm01.hardware_address(LAN)?;
    for address in STEADY.both() {
        let question = neighbour::question(mac, VM01.like(address), address, None)?.frame();
        let received = host.run(|| PacketSocket::open(PARENT, EVERY_TYPE))?;
        vm01.run(|| Ok(PacketSocket::open(LAN, EVERY_TYPE)?.send(&question)?))?;
        let frames = received.frames(PASSES_WITHIN)?;
        let passes = frames.iter().any(|(_, frame)| frame.starts_with(&question));
        let what = format!("the question for {address} passes the card's filter");
        scene.expect_eq(&what, passes, address.is_ipv4());
    }
    scene.alone("solicitations do not pass the card's filter");
    Ok(())
}

/// Lets LAN, host and children reach each other in both families, without neighbour entries from before.
fn everybody_reached(scene: &Scene) -> Result<()> {
    let site = &scene.site;
    let ways = [
        (&site.vm01, &site.steady, STEADY),
        (&site.vm01, &site.unnamed, UNNAMED),
        (&site.host, &site.steady, STEADY),
        (&site.steady, &site.vm01, VM01),
        (&site.unnamed, &site.host, HOST),
    ];
    let mut intact = 0;
    for (from, to, target) in ways {
        forget_neighbours(site)?;
        for target in target.both() {
            let reached = from.run(|| ping(None, target, PATIENCE))?;
            let exchange = Exchange {
                target,
                port: 0,
                bytes: BYTES,
                patience: PATIENCE,
            };
            let carried = tcp::exchange(from, to, &exchange)?;
            scene.expect(reached && carried, || {
                format!(
                    "{} to {target}: ping {reached}, TCP {carried}",
                    from.label()
                )
            });
            intact += usize::from(reached && carried);
        }
    }
    scene.with_agent(format!(
        "{}: {intact} of {} ways",
        site.mode,
        ways.len() * Family::ALL.len()
    ));
    Ok(())
}

fn forget_neighbours(site: &Site) -> Result<()> {
    let mut netnses = [&site.vm01, &site.host, &site.steady, &site.unnamed].into_iter();
    netnses.try_for_each(|netns| netns.run(|| Netlink::open()?.flush_neighbours()))
}

/// Asks untagged and on VLAN 100, whose tag the card takes out of the frame.
fn untagged_alone(scene: &Scene) -> Result<()> {
    scene.expect_answered([STEADY, UNNAMED].into_iter().flat_map(Pair::both))?;
    // A kernel that verifies an entry asks, and is answered, by unicast: that would count as an answer.
    forget_neighbours(&scene.site)?;
    let tagged = tagged::answered(&scene.site)?;
    scene.expect_eq("answers on VLAN 100", tagged, 0);
    Ok(())
}

/// Starts the agent with XDP, which some cards do not recover from: with the VLAN offload of the card on, where it has one, and off.
fn by_xdp(scene: &mut Scene, card: &Card) -> Result<()> {
    let has_offload = || ethtool::has(PARENT, VLAN_FROM_FRAME);
    let has_offload = scene.host.run(has_offload)?;
    let cases = [
        ("generic", true),
        ("generic", false),
        ("native", true),
        ("native", false),
    ];
    for (mode, offload) in cases {
        if offload && !has_offload {
            continue;
        }
        let switch = || ethtool::switch(PARENT, &ethtool::VLAN_OFFLOAD, offload);
        scene.host.run(switch)?;
        let shown = format!("{mode}{}", if offload { ", VLAN offload" } else { "" });
        scene.case(&shown);
        let can = mode == "generic" || card.has_native_xdp()?;
        let usable = if mode == "native" && can && !offload {
            reached_behind_another(scene)?
        } else {
            true
        };
        if let Err(error) = scene.start(&["--xdp", mode]) {
            let text = format!("{error:#}");
            scene.expect(!can && text.contains("hint:"), || text.clone());
            scene.with_agent(format!("{shown}: refused"));
            continue;
        }
        let hooks = scene.parent()?.hooks;
        let attach = format!("xdp-{mode}");
        let has_xdp = hooks.iter().any(|hook| hook.attach == attach);
        scene.expect(has_xdp == (can && !offload), || {
            format!("attached is {hooks:?}")
        });
        untagged_alone(scene)?;
        scene.with_agent(format!("{shown}: {}", if has_xdp { "XDP" } else { "TC" }));
        let reached = reaches_lan(&scene.site)?;
        scene.expect_eq("the host reaches the LAN", reached || !usable, true);
        scene.clear()?;
    }
    Ok(())
}

/// Attaches a native program of someone else that passes everything, and detaches it; returns whether the host
/// reaches the LAN meanwhile and afterwards. The vmxnet3 of QEMU 7.2 delivers no packet to the stack any more.
fn reached_behind_another(scene: &Scene) -> Result<bool> {
    let site = &scene.site;
    let program = site.host.run(|| Program::xdp_pass()?.attach(PARENT))?;
    let meanwhile = reaches_lan(site)?;
    drop(program);
    let afterwards = reaches_lan(site)?;
    let word = |reached| if reached { "reached" } else { "not reached" };
    scene.alone(format!(
        "with a native XDP program of someone else the LAN is {}, after it {}",
        word(meanwhile),
        word(afterwards)
    ));
    Ok(meanwhile && afterwards)
}

fn reaches_lan(site: &Site) -> Result<bool> {
    site.host
        .run(|| ping(None, IpAddr::from(VM01.v4), REACHED_WITHIN))
}
