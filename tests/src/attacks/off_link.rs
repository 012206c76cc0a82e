//! An off-link address of a container is answered on the LAN, and attracts nothing that the host sends
//! elsewhere unless the operator allows its prefix.

use std::net::UdpSocket;

use ipvlan_packet::{
    ARP, IPV4, IPV6, array, ether_type,
    ip::{number::UDP, v4, v6},
};

use super::{frames::OFF_LINK, isolation::in_gateways_name};
use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S2",
        Container,
        "`ip addr add` of 8.8.8.8 and of an off-link IPv6 address",
        "the host's and forwarded packets take the host's route; with --allow of the prefix, of that family only, \
         the child gets them; ARP and NS of the LAN are answered",
        Run::Each(&Mode::ALL, takes_off_link),
    ),
    Row::new(
        "S2",
        Container,
        "the same, and the host's next hop is at the parent's own MAC: by an ARP reply and an advertisement to the \
         host in the gateway's name (l2), or because it is another child",
        "the child gets none of the packets; with --allow of the prefix it gets those of that family",
        Run::Own(next_hop_at_own_mac),
    ),
];

/// A packet that was sent has arrived by then.
const ARRIVED: Duration = Duration::from_millis(600);
/// The kernel keeps the MAC of a neighbour for a second (`locktime`).
const LOCK_TIME: Duration = Duration::from_millis(1_200);
/// Allows the off-link IPv4 address, and all addresses of the topology.
const ALLOW_V4: [&str; 6] = [
    "--allow",
    "8.8.8.0/24",
    "--allow",
    "172.16.0.0/12",
    "--allow",
    "2001:db8::/32",
];
const PORT: u16 = 53;
const PACKETS: usize = 3;

/// Where packets to the off-link address of a family arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Went {
    /// Packets that the attacker's child got.
    child: usize,
    /// Packets that left to the host's gateway.
    gateway: usize,
}

/// Options, and the families whose packets the child then attracts.
type Case = (&'static [&'static str], [bool; 2]);
const CASES: [Case; 3] = [
    (&[], [false, false]),
    (&ALLOW_V4, [true, false]),
    (&["--allow", "0.0.0.0/0", "--allow", "::/0"], [true, true]),
];

fn takes_off_link(scene: &mut Scene) -> Result<()> {
    let mode = scene.mode;
    let bridged = container_behind_a_bridge(scene)?;
    scene.take(OFF_LINK.both())?;
    let shown = |went: [Went; 2]| went.map(|went| went.child.to_string()).join("/");
    scene.alone(format!(
        "{mode}: child gets {} of the host's, {} of the forwarded packets",
        shown(sent(scene, &scene.host)?),
        shown(sent(scene, &bridged)?),
    ));
    // For l3 and l3s children the agent decides alike.
    let cases = if mode == Mode::L3s { 1 } else { CASES.len() };
    for (options, attracts) in CASES.into_iter().take(cases) {
        scene.case(format!("{options:?}"));
        scene.start(options)?;
        check(scene, &bridged, options, attracts)?;
        scene.expect_others_answered()?;
        scene.clear()?;
    }
    Ok(())
}

/// How the host's next hop comes to be at the parent's own MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextHop {
    /// The container claims to be it.
    Claimed,
    /// The operator made a child the next hop.
    Child,
}

fn next_hop_at_own_mac(play: &Play) -> Result<()> {
    let [none, v4, _] = CASES;
    // For l3s children the agent decides as for those in l3.
    let settings = [
        (Mode::L2, "bridge", NextHop::Claimed, &[none, v4][..]),
        (Mode::L2, "private", NextHop::Claimed, &[none]),
        (Mode::L2, "bridge", NextHop::Child, &[none]),
        (Mode::L3, "bridge", NextHop::Child, &[none, v4]),
    ];
    for (mode, flag, next_hop, cases) in settings {
        let mut scene = play.isolated(mode, flag)?;
        scene.take(OFF_LINK.both())?;
        for &(options, attracts) in cases {
            scene.case(format!("{next_hop:?}, {options:?}"));
            // A child is a next hop only if it was there before the route, and its probes have ended.
            scene.start(&[&["--dad", "off"], options].concat())?;
            let went = at_own_mac(&scene, next_hop)?;
            for (went, attracts) in went.into_iter().zip(attracts) {
                scene.expect_eq("the child gets packets", went.child > 0, attracts);
            }
            scene.clear()?;
            scene.route()?;
        }
    }
    Ok(())
}

/// Returns where packets went while the host's next hop was at the parent's own MAC.
fn at_own_mac(scene: &Scene, next_hop: NextHop) -> Result<[Went; 2]> {
    let host = &scene.host;
    match next_hop {
        NextHop::Child => {
            scene.expect_answered(STEADY.both())?;
            host.ip(&format!(
                "route replace default via {}\nroute replace ::/0 via {} dev {PARENT}\n",
                STEADY.v4, STEADY.v6
            ))?;
            sent(scene, host)
        }
        NextHop::Claimed => {
            // The host knows its gateway, and takes another MAC for it after a second (`locktime`).
            sent(scene, host)?;
            thread::sleep(LOCK_TIME);
            for (ether_type, frame) in [ARP, IPV6].into_iter().zip(in_gateways_name(HOST)) {
                let open = || PacketSocket::open(CHILD, ether_type);
                scene.third.run(open)?.send(&frame)?;
            }
            sent(scene, host)
        }
    }
}

fn check(scene: &Scene, bridged: &Netns, options: &[&str], attracts: [bool; 2]) -> Result<()> {
    for (address, attracts) in OFF_LINK.both().into_iter().zip(attracts) {
        // An allow list is complete: a family without an entry that covers the address is not answered.
        // In l2 the child's own kernel answers.
        let answered = scene.mode == Mode::L2 || options.is_empty() || attracts;
        scene.expect_answers([address], answered)?;
    }
    for netns in [&scene.host, bridged] {
        for (went, attracts) in sent(scene, netns)?.into_iter().zip(attracts) {
            let right = if attracts {
                went.child > 0
            } else {
                went.child == 0 && went.gateway > 0
            };
            scene.expect(right, || {
                format!("packets of {} went {went:?}", netns.label())
            });
        }
    }
    Ok(())
}

/// A container of the usual kind: behind a veth of the host, which forwards.
fn container_behind_a_bridge(scene: &Scene) -> Result<Netns> {
    let host = &scene.host;
    let netns = scene.lab.netns("bridged")?;
    connect(host, "veth-c", &netns, "eth0")?;
    host.sysctl("ipv4/ip_forward", "1")?;
    host.sysctl("ipv6/conf/all/forwarding", "1")?;
    host.ip("addr add 10.88.0.1/24 dev veth-c\naddr add fd88::1/64 dev veth-c nodad\n")?;
    netns.ip(
        "addr add 10.88.0.2/24 dev eth0\naddr add fd88::2/64 dev eth0 nodad\n\
         route add default via 10.88.0.1\nroute add ::/0 via fd88::1 dev eth0\n",
    )?;
    Ok(netns)
}

/// Sends queries to both off-link addresses from `netns`.
fn sent(scene: &Scene, netns: &Netns) -> Result<[Went; 2]> {
    let open = |netns: &Netns, device: &str| netns.run(|| PacketSocket::open(device, EVERY_TYPE));
    let child = open(&scene.third, CHILD)?;
    let gateway = open(&scene.vm01, LAN)?;
    // In mode l3s a device shows nothing of what it gets.
    let mut sockets = Vec::new();
    for address in OFF_LINK.both() {
        let bind = || UdpSocket::bind((address, PORT)).context("cannot bind UDP");
        let socket = scene.third.run(bind)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let mut went = [Went::default(); 2];
    for address in OFF_LINK.both() {
        netns.run(|| {
            let socket = UdpSocket::bind((Family::of(address).unspecified(), 0))?;
            for _ in 0..PACKETS {
                // The gateway may refuse it.
                let _refused = socket.send_to(b"query", (address, PORT));
                thread::sleep(ARRIVED / 3);
            }
            Ok(())
        })?;
    }
    thread::sleep(ARRIVED);
    for (socket, went) in sockets.iter().zip(&mut went) {
        while socket.recv(&mut [0; 64]).is_ok() {
            went.child += 1;
        }
    }
    let [by_child, by_gateway] = [queries(&child)?, queries(&gateway)?];
    for (place, went) in went.iter_mut().enumerate() {
        went.child += by_child[place];
        went.gateway += by_gateway[place];
    }
    Ok(went)
}

/// Counts the UDP packets to each off-link address that `socket` has received.
fn queries(socket: &PacketSocket) -> Result<[usize; 2]> {
    let frames = socket.frames(Duration::ZERO)?;
    let is_query = |frame: &[u8], address| match address {
        IpAddr::V4(v4) => {
            ether_type(frame) == Some(IPV4)
                && frame.get(23) == Some(&UDP)
                && array(frame, v4::DST) == Some(v4.octets())
        }
        IpAddr::V6(v6) => {
            ether_type(frame) == Some(IPV6)
                && frame.get(v6::NEXT_HEADER) == Some(&UDP)
                && array(frame, v6::DST) == Some(v6.octets())
        }
    };
    Ok(OFF_LINK.both().map(|address| {
        let queries = frames.iter().filter(|(_, frame)| is_query(frame, address));
        queries.count()
    }))
}
