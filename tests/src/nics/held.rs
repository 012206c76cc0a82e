//! What holds behind every card.

use std::{net::IpAddr, time::Duration};

use anyhow::Result;
use ipvlan_packet::{Arp, Nd};

use super::card::{Card, E1000, E1000E, VIRTIO, VMXNET3};
use crate::{
    bpf::Program,
    demo::mode::Mode,
    ethtool,
    family::Family,
    faults::{
        site::{HOST, LAN, PARENT, Pair, STEADY, Site, UNNAMED, VM01},
        stage::{PATIENCE, Plan},
    },
    netlink::Netlink,
    netns::Netns,
    probe::{
        packet::PacketSocket,
        ping,
        tcp::{self, Exchange},
    },
    rows::{
        row::{Kind::Held, Row, Verdict},
        scene::{Scene, becomes},
        tagged,
    },
};

const INPUT: &str = "l2, l3; IPv4, IPv6; pings and TCP; the card's multicast filter, checksum and VLAN \
                     offloads; --xdp native and generic";
const EXPECTED: &str = "LAN and host reach children, both ways, TCP intact; requests on VLAN 100 unanswered; \
                        native XDP, or refused with a hint";

pub(super) const ROWS: &[Row] = &[
    Row::new("e1000", Held, INPUT, EXPECTED, |plan| serves(plan, &E1000)),
    Row::new("e1000e", Held, INPUT, EXPECTED, |plan| {
        serves(plan, &E1000E)
    }),
    Row::new("vmxnet3", Held, INPUT, EXPECTED, |plan| {
        serves(plan, &VMXNET3)
    }),
    Row::new("virtio-net", Held, INPUT, EXPECTED, |plan| {
        serves(plan, &VIRTIO)
    }),
];

/// What computes checksums of all that is sent.
const CHECKSUMS: &str = "tx-checksum-ip-generic";
/// What takes tags out of received frames.
const VLAN_FROM_FRAME: &str = "rx-vlan-hw-parse";
/// Of a TCP connection, each way.
const BYTES: usize = 128 * 1024;
/// Frames of every type, before the driver of ipvlan takes them (`ETH_P_ALL`).
const ALL: u16 = 3;
/// How long a ping by a card takes at most, also right after its link came back.
const REACHED_WITHIN: Duration = Duration::from_secs(5);
/// How long frames that pass the filter of a card take at most.
const PASSES_WITHIN: Duration = Duration::from_millis(300);

fn serves(plan: &Plan, card: &Card) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::on(plan, card.site(Mode::L3)?);
    filtered(&scene, &mut verdict)?;
    let parent = &scene.site.host;
    let checksums = parent.run(|| ethtool::has(PARENT, CHECKSUMS))?;
    verdict.expect(checksums == card.checksums, || {
        format!("checksum offload is {checksums}")
    });
    tagged::add_vlan(&scene.site)?;

    scene.start(&[])?;
    everybody_reached(&scene.site, "l3", &mut verdict)?;
    untagged_alone(&scene, "tc", &mut verdict)?;
    scene.clear()?;
    scene.site.change_mode(Mode::L2)?;
    scene.start(&[])?;
    everybody_reached(&scene.site, "l2", &mut verdict)?;
    untagged_alone(&scene, "l2", &mut verdict)?;
    scene.clear()?;
    scene.site.change_mode(Mode::L3)?;
    by_xdp(&mut scene, card, &mut verdict)?;
    Ok(verdict)
}

/// Asks the card for children whose groups nobody has joined: solicitations must not pass its filter, or
/// later answers to them would prove nothing.
fn filtered(scene: &Scene, verdict: &mut Verdict) -> Result<()> {
    let Site { host, vm01, .. } = &scene.site;
    let mac = vm01.hardware_address(LAN)?;
    let solicitation = Nd::multicast(mac, VM01.v6, STEADY.v6).frame();
    let request = Arp::request(mac, VM01.v4, STEADY.v4);
    let passes = |frame: &[u8]| -> Result<bool> {
        let received = host.run(|| PacketSocket::open(PARENT, ALL))?;
        vm01.run(|| Ok(PacketSocket::open(LAN, ALL)?.send(frame)?))?;
        let mut buffer = [0; 2048];
        while let Some(length) = received.receive(&mut buffer, PASSES_WITHIN)? {
            if buffer[..length].starts_with(frame) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let broadcast = passes(&request.frame())?;
    let multicast = passes(&solicitation)?;
    verdict.expect(broadcast, || "no broadcast request arrives".to_owned());
    verdict.expect(!multicast, || {
        "solicitations pass the card's filter without the agent".to_owned()
    });
    verdict.alone("solicitations do not pass the card's filter");
    Ok(())
}

/// Lets LAN, host and children reach each other in both families, without neighbour entries from before.
fn everybody_reached(site: &Site, when: &str, verdict: &mut Verdict) -> Result<()> {
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
            let shown = format!("{when}: {} to {target}", from.label());
            let reached = from.run(|| ping::ping(None, target, PATIENCE))?;
            verdict.expect(reached, || format!("{shown}: no reply"));
            let carried = carries(from, to, target)?;
            verdict.expect(carried, || format!("{shown}: TCP does not arrive intact"));
            intact += usize::from(reached && carried);
        }
    }
    verdict.agent(format!(
        "{when}: {intact} of {} ways",
        ways.len() * Family::ALL.len()
    ));
    Ok(())
}

fn forget_neighbours(site: &Site) -> Result<()> {
    [&site.vm01, &site.host, &site.steady, &site.unnamed]
        .into_iter()
        .try_for_each(|netns| netns.run(|| Netlink::open()?.flush_neighbours()))
}

fn carries(from: &Netns, to: &Netns, target: IpAddr) -> Result<bool> {
    let exchange = Exchange {
        target,
        port: 0,
        bytes: BYTES,
        patience: PATIENCE,
    };
    tcp::exchange(from, to, &exchange)
}

/// Asks untagged and on VLAN 100, whose tag the card takes out of the frame.
fn untagged_alone(scene: &Scene, when: &str, verdict: &mut Verdict) -> Result<()> {
    for address in [STEADY, UNNAMED].into_iter().flat_map(Pair::both) {
        let answered = becomes(&scene.site, address, true, PATIENCE)?;
        verdict.expect(answered, || format!("{when}: {address} is not answered"));
    }
    // A kernel that verifies an entry asks, and is answered, by unicast: that would count as an answer.
    forget_neighbours(&scene.site)?;
    let tagged = tagged::answered(&scene.site)?;
    verdict.expect(tagged == 0, || {
        format!("{when}: {tagged} requests on VLAN 100 are answered")
    });
    Ok(())
}

/// Starts the agent with XDP, which some cards do not recover from: with the VLAN offload of the card on, where it has one, and off.
fn by_xdp(scene: &mut Scene, card: &Card, verdict: &mut Verdict) -> Result<()> {
    let has_offload = scene
        .site
        .host
        .run(|| ethtool::has(PARENT, VLAN_FROM_FRAME))?;
    for (mode, native) in [("generic", false), ("native", true)] {
        for offload in [true, false] {
            if offload && !has_offload {
                continue;
            }
            scene
                .site
                .host
                .run(|| ethtool::switch(PARENT, &ethtool::VLAN_OFFLOAD, offload))?;
            let shown = format!("{mode}{}", if offload { ", VLAN offload" } else { "" });
            let can = !native || card.has_native_xdp()?;
            let alone = native && can && !offload;
            let usable = if alone {
                reached_behind_another(&scene.site, verdict)?
            } else {
                true
            };
            match scene.start(&["--xdp", mode]) {
                Ok(()) => {}
                Err(error) => {
                    let text = format!("{error:#}");
                    verdict.expect(!can && text.contains("hint:"), || {
                        format!("{shown}: {text}")
                    });
                    verdict.agent(format!("{shown}: refused"));
                    continue;
                }
            }
            let hooks = scene.parent()?["hooks"].to_string();
            let has_xdp = hooks.contains(&format!("xdp-{mode}"));
            verdict.expect(has_xdp == (can && !offload), || {
                format!("{shown}: attached is {hooks}")
            });
            untagged_alone(scene, &shown, verdict)?;
            verdict.agent(format!("{shown}: {}", if has_xdp { "XDP" } else { "TC" }));
            let reached = reaches_lan(&scene.site)?;
            verdict.expect(reached || !usable, || {
                format!("{shown}: the host does not reach the LAN")
            });
            scene.clear()?;
        }
    }
    Ok(())
}

/// Attaches a native program of someone else that passes everything, and detaches it; returns whether the host
/// reaches the LAN meanwhile and afterwards. The vmxnet3 of QEMU 7.2 delivers no packet to the stack any more.
fn reached_behind_another(site: &Site, verdict: &mut Verdict) -> Result<bool> {
    let program = site.host.run(|| Program::xdp_pass()?.attach(PARENT))?;
    let meanwhile = reaches_lan(site)?;
    drop(program);
    let afterwards = reaches_lan(site)?;
    let word = |reached| if reached { "reached" } else { "not reached" };
    verdict.alone(format!(
        "with a native XDP program of someone else the LAN is {}, after it {}",
        word(meanwhile),
        word(afterwards)
    ));
    Ok(meanwhile && afterwards)
}

fn reaches_lan(site: &Site) -> Result<bool> {
    site.host
        .run(|| ping::ping(None, IpAddr::from(VM01.v4), REACHED_WITHIN))
}
