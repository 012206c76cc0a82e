//! An off-link address of a container is answered on the LAN, and attracts nothing that the host sends
//! elsewhere unless the operator allows its prefix.

use std::{
    net::{IpAddr, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ipvlan_packet::{ARP, Arp, IPV6, Nd, nd};
use nix::sys::socket::{MsgFlags, recv};

use super::{frames::OFF_LINK, newcomer::others_answered};
use crate::{
    demo::mode::Mode,
    family::Family,
    faults::{
        site::{CHILD, GATEWAY, HOST, LAN, MAC, PARENT, STEADY},
        stage::{PATIENCE, Plan},
    },
    lab::connect,
    netns::Netns,
    probe::packet::PacketSocket,
    rows::{
        row::{Kind::Container, Row, Verdict},
        scene::{self, Scene, becomes},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S2",
        Container,
        "`ip addr add` of 8.8.8.8 and of an off-link IPv6 address",
        "the host's and forwarded packets take the host's route; with --allow of the prefix, of that family only, \
         the child gets them; ARP and NS of the LAN are answered",
        takes_off_link,
    ),
    Row::new(
        "S2",
        Container,
        "the same, and the host's next hop is at the parent's own MAC: by an ARP reply and an advertisement to the \
         host in the gateway's name (l2), or because it is another child",
        "the child gets none of the packets; with --allow of the prefix it gets those of that family",
        next_hop_at_own_mac,
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
const EVERY_TYPE: u16 = 3;
const PACKETS: usize = 3;

/// Where packets to the off-link address of a family arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Went {
    /// Packets that the attacker's child got.
    child: usize,
    /// Packets that left to the host's gateway.
    gateway: usize,
}

fn takes_off_link(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for mode in Mode::ALL {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        let forwarded = container_behind_a_bridge(&scene)?;
        for address in OFF_LINK.both() {
            scene::add(&scene.site.third, CHILD, address)?;
        }
        let (host, bridged) = (&scene.site.host, &forwarded);
        let alone = sent(&scene, host)?;
        let alone_forwarded = sent(&scene, bridged)?;
        verdict.alone(format!(
            "{mode}: child gets {} of the host's, {} of the forwarded packets",
            alone.map(|went| went.child.to_string()).join("/"),
            alone_forwarded.map(|went| went.child.to_string()).join("/"),
        ));
        // Without permission; of one family; of both.
        let cases: [(&[&str], [bool; 2]); 3] = [
            (&[], [false, false]),
            (&ALLOW_V4, [true, false]),
            (&["--allow", "0.0.0.0/0", "--allow", "::/0"], [true, true]),
        ];
        // For l3 and l3s children the agent decides alike.
        let cases = cases
            .into_iter()
            .take(if mode == Mode::L3s { 1 } else { 3 });
        for (options, attracts) in cases {
            scene.start(options)?;
            check(&scene, &forwarded, options, attracts, &mut verdict)?;
            others_answered(&scene, &mut verdict, &format!("{mode}, {options:?}"))?;
            scene.clear()?;
        }
    }
    verdict.agent(if verdict.is_met() {
        "child gets none of them; with --allow of its prefix all of that family; asked for on the LAN it is \
         answered"
    } else {
        "the child gets packets that are not for it"
    });
    Ok(verdict)
}

/// How the host's next hop comes to be at the parent's own MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextHop {
    /// The container says so.
    Claimed,
    /// The operator made a child the next hop.
    Child,
}

fn next_hop_at_own_mac(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let none = (&[][..], [false, false]);
    let v4 = (&ALLOW_V4[..], [true, false]);
    // For l3s children the agent decides as for those in l3.
    let settings = [
        (Mode::L2, "bridge", NextHop::Claimed, &[none, v4][..]),
        (Mode::L2, "private", NextHop::Claimed, &[none]),
        (Mode::L2, "bridge", NextHop::Child, &[none]),
        (Mode::L3, "bridge", NextHop::Child, &[none, v4]),
    ];
    for (mode, flag, next_hop, cases) in settings {
        let mut scene = Scene::build(plan, mode, flag)?;
        for address in OFF_LINK.both() {
            scene::add(&scene.site.third, CHILD, address)?;
        }
        for &(options, attracts) in cases {
            // A child is a next hop only if it was there before the route, and its probes have ended.
            scene.start(&[&["--dad", "off"], options].concat())?;
            let went = at_own_mac(&scene, next_hop)?;
            let expected = Family::ALL.into_iter().zip(attracts);
            for (went, (family, attracts)) in went.into_iter().zip(expected) {
                verdict.expect((went.child > 0) == attracts, || {
                    format!("{mode} {flag}, {next_hop:?}, {options:?}: packets of {family} went {went:?}")
                });
            }
            scene.clear()?;
            scene.site.route()?;
        }
    }
    verdict.agent(if verdict.is_met() {
        "child gets none of them; with --allow of its prefix all of that family"
    } else {
        "the child gets packets that are not for it"
    });
    Ok(verdict)
}

/// Returns where packets went while the host's next hop was at the parent's own MAC.
fn at_own_mac(scene: &Scene, next_hop: NextHop) -> Result<[Went; 2]> {
    let host = &scene.site.host;
    match next_hop {
        NextHop::Child => {
            for address in STEADY.both() {
                ensure!(
                    becomes(&scene.site, address, true, PATIENCE)?,
                    "{address} is not answered"
                );
            }
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
            let socket = |kind| scene.site.third.run(|| PacketSocket::open(CHILD, kind));
            socket(ARP)?.send(&claim_v4())?;
            socket(IPV6)?.send(&claim_v6())?;
            sent(scene, host)
        }
    }
}

/// An ARP reply to the host: its gateway is at the parent's own MAC.
fn claim_v4() -> Vec<u8> {
    let request = Arp::request(MAC, GATEWAY.v4, HOST.v4).to(MAC);
    let mut message = request.frame();
    message[21] = 2;
    message
}

/// The same as an advertisement.
fn claim_v6() -> Vec<u8> {
    let advertisement = Nd {
        eth_dst: MAC,
        dst: HOST.v6,
        flags: nd::flags("RSO"),
        ..Nd::announcement(MAC, GATEWAY.v6)
    };
    advertisement.frame()
}

fn check(
    scene: &Scene,
    forwarded: &Netns,
    options: &[&str],
    attracts: [bool; 2],
    verdict: &mut Verdict,
) -> Result<()> {
    let mode = scene.site.mode;
    for (address, attracts) in OFF_LINK.both().into_iter().zip(attracts) {
        // An allow list is complete: a family without an entry that covers the address is not answered.
        // In l2 the child's own kernel answers.
        let answered = mode == Mode::L2 || options.is_empty() || attracts;
        let settled = becomes(&scene.site, address, answered, PATIENCE)?;
        verdict.expect(settled, || {
            format!(
                "{mode}, {options:?}: on the LAN {address} is answered: {}",
                !answered
            )
        });
    }
    for (from, netns) in [("the host", &scene.site.host), ("a bridge", forwarded)] {
        for (went, (family, attracts)) in sent(scene, netns)?
            .into_iter()
            .zip(Family::ALL.into_iter().zip(attracts))
        {
            let right = if attracts {
                went.child > 0
            } else {
                went.child == 0 && went.gateway > 0
            };
            verdict.expect(right, || {
                format!("{mode}, {options:?}: packets of {family} from {from} went {went:?}")
            });
        }
    }
    Ok(())
}

/// A container of the usual kind: behind a veth of the host, which forwards.
fn container_behind_a_bridge(scene: &Scene) -> Result<Netns> {
    let host = &scene.site.host;
    let netns = scene.site.lab.netns("bridged")?;
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
    let open = |netns: &Netns, device: &str| -> Result<OwnedFd> {
        Ok(netns
            .run(|| PacketSocket::open(device, EVERY_TYPE))?
            .into_inner())
    };
    let child = open(&scene.site.third, CHILD)?;
    let gateway = open(&scene.site.vm01, LAN)?;
    // In mode l3s a device shows nothing of what it gets.
    let sockets = scene.site.third.run(|| {
        OFF_LINK
            .both()
            .map(|address| {
                let socket = UdpSocket::bind((address, PORT)).context("cannot bind UDP")?;
                socket.set_nonblocking(true)?;
                Ok::<_, anyhow::Error>(socket)
            })
            .into_iter()
            .collect::<Result<Vec<_>>>()
    })?;
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
        let mut buffer = [0; 64];
        while socket.recv(&mut buffer).is_ok() {
            went.child += 1;
        }
    }
    count(&child, |place| went[place].child += 1);
    count(&gateway, |place| went[place].gateway += 1);
    Ok(went)
}

/// Calls `each` for every UDP packet to an off-link address that `socket` has received.
fn count(socket: &OwnedFd, mut each: impl FnMut(usize)) {
    let mut buffer = [0; 2048];
    while let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
        let frame = &buffer[..length.min(buffer.len())];
        let to = |address: IpAddr| match address {
            IpAddr::V4(v4) => {
                frame.get(12..14) == Some(&[8, 0])
                    && frame.get(23) == Some(&17)
                    && frame.get(30..34) == Some(&v4.octets())
            }
            IpAddr::V6(v6) => {
                frame.get(12..14) == Some(&[0x86, 0xdd])
                    && frame.get(20) == Some(&17)
                    && frame.get(38..54) == Some(&v6.octets())
            }
        };
        if let Some(place) = OFF_LINK.both().into_iter().position(to) {
            each(place);
        }
    }
}
