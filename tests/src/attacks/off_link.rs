//! An off-link address of a container is answered on the LAN, and attracts nothing that the host sends
//! elsewhere unless the operator allows its prefix.

use std::{
    net::{IpAddr, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::sys::socket::{MsgFlags, recv};

use super::{
    frames::OFF_LINK,
    newcomer::others_answered,
    row::{Attacker::Container, Row, Verdict},
    scene::{self, Scene, becomes},
};
use crate::{
    demo::mode::Mode,
    family::Family,
    faults::{
        site::{CHILD, LAN},
        stage::{PATIENCE, Plan},
    },
    lab::connect,
    netns::Netns,
    probe::packet::PacketSocket,
};

pub(super) const ROWS: &[Row] = &[Row::new(
    "S2",
    Container,
    "`ip addr add` of 8.8.8.8 and of an off-link IPv6 address",
    "the host's and forwarded packets take the host's route; with --allow of the prefix, of that family only, \
     the child gets them; ARP and NS of the LAN are answered",
    takes_off_link,
)];

/// A packet that was sent has arrived by then.
const ARRIVED: Duration = Duration::from_millis(600);
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
            (
                &[
                    "--allow",
                    "8.8.8.0/24",
                    "--allow",
                    "172.16.0.0/12",
                    "--allow",
                    "2001:db8::/32",
                ],
                [true, false],
            ),
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
