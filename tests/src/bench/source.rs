//! What sends the frames whose way is measured.

use std::{
    fs,
    net::{IpAddr, UdpSocket},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use etherparse::PacketBuilder;
use ipvlan_packet::ether_type;

use super::{
    price::{self, Begin, Plan},
    site::{LAN, Site},
};
use crate::{
    bpf::{Counter, Program},
    family::Family,
    netns::{Netns, colons},
    probe::packet::PacketSocket,
};

/// The port that every packet is for.
pub(super) const PORT: u16 = 9;
/// What a packet carries: with it a frame of IPv4 is 60 bytes long.
pub(super) const PAYLOAD: usize = 18;

/// The length of a frame that a source sends to this address.
pub(super) fn frame_length(to: IpAddr) -> usize {
    match to {
        IpAddr::V4(_) => 60,
        IpAddr::V6(_) => 80,
    }
}

/// A sender of UDP packets.
pub(super) enum Source<'a> {
    /// XDP programs make frames at `device`, many at once, for the other end of the link: the cheapest
    /// sender there is.
    Live {
        netns: &'a Netns,
        device: &'a str,
        frame: Vec<u8>,
    },
    /// A process sends by a socket, one system call each.
    Socket { netns: &'a Netns, to: IpAddr },
    /// A process sends whole frames, one system call each.
    Raw {
        netns: &'a Netns,
        device: &'a str,
        frame: &'a [u8],
    },
    /// The kernel's own generator, a buffer from the allocator for each frame.
    Pktgen {
        netns: &'a Netns,
        device: &'a str,
        to: IpAddr,
        from: IpAddr,
        mac: [u8; 6],
    },
}

impl<'a> Source<'a> {
    /// XDP programs that make this frame at the LAN's end.
    pub(super) fn live(site: &'a Site, frame: Vec<u8>) -> Self {
        let (netns, device) = (&site.lan, LAN);
        Self::Live {
            netns,
            device,
            frame,
        }
    }

    /// What a packet costs from here to where `counter` counts it.
    pub(super) fn measure(&self, counter: &mut Counter, plan: Plan) -> Result<f64> {
        match self {
            Self::Live {
                netns,
                device,
                frame,
            } => {
                let (program, sent) = netns.run(|| Program::send(device, frame))?;
                price::measure(counter, Begin::FirstFrame(sent), plan, |count| {
                    netns.run(|| program.generate(frame, count))
                })
            }
            Self::Socket { netns, to } => {
                let socket = connected(netns, *to)?;
                price::measure(counter, Begin::Call, plan, |count| {
                    for _ in 0..count {
                        let sent = socket.send(&[0; PAYLOAD]).context("cannot send")?;
                        ensure!(sent == PAYLOAD, "{sent} bytes sent");
                    }
                    Ok(())
                })
            }
            Self::Raw {
                netns,
                device,
                frame,
            } => {
                let kind = ether_type(frame).context("a frame has an EtherType")?;
                let socket = netns.run(|| PacketSocket::open(device, kind))?;
                price::measure(counter, Begin::Call, plan, |count| {
                    for _ in 0..count {
                        socket.send(frame).context("cannot send a frame")?;
                    }
                    Ok(())
                })
            }
            Self::Pktgen {
                netns,
                device,
                to,
                from,
                mac,
            } => {
                let pktgen = netns.run(|| Pktgen::open(device, *to, *from, *mac))?;
                price::measure(counter, Begin::FirstArrival, plan, |count| {
                    netns.run(|| pktgen.generate(count))
                })
            }
        }
    }
}

/// One packet, so that everybody on the way knows whom to send it to.
pub(super) fn prime(netns: &Netns, to: IpAddr) -> Result<()> {
    let socket = connected(netns, to)?;
    socket.send(&[0; PAYLOAD]).context("cannot send")?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    Ok(())
}

fn connected(netns: &Netns, to: IpAddr) -> Result<UdpSocket> {
    let any = Family::of(to).unspecified();
    netns.run(|| {
        let socket = UdpSocket::bind((any, 0)).context("cannot open a socket")?;
        socket
            .connect((to, PORT))
            .with_context(|| format!("no way to {to}"))?;
        Ok(socket)
    })
}

/// A UDP packet with its Ethernet header.
pub(super) fn frame(from: (IpAddr, [u8; 6]), to: (IpAddr, [u8; 6])) -> Result<Vec<u8>> {
    let builder = PacketBuilder::ethernet2(from.1, to.1);
    let builder = match (from.0, to.0) {
        (IpAddr::V4(from), IpAddr::V4(to)) => builder.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => builder.ipv6(from.octets(), to.octets(), 64),
        _ => anyhow::bail!("addresses of two families"),
    }
    .udp(40_000, PORT);
    let mut frame = Vec::new();
    builder.write(&mut frame, &[0; PAYLOAD])?;
    Ok(frame)
}

/// A device of pktgen.
struct Pktgen {
    directory: PathBuf,
    device: PathBuf,
}

impl Pktgen {
    fn open(device: &str, to: IpAddr, from: IpAddr, mac: [u8; 6]) -> Result<Self> {
        let directory = Path::new("/proc/thread-self/net/pktgen").to_owned();
        let thread = directory.join("kpktgend_0");
        write(&thread, "rem_device_all")?;
        write(&thread, &format!("add_device {device}"))?;
        let this = Self {
            device: directory.join(device),
            directory,
        };
        for line in [
            "delay 0".to_owned(),
            "clone_skb 0".to_owned(),
            format!("pkt_size {}", frame_length(to)),
            format!("dst {to}"),
            format!("src_min {from}"),
            format!("src_max {from}"),
            format!("dst_mac {}", colons(mac)),
            // Or what shares a buffer with its generator is changed on its way.
            "flag !SHARED".to_owned(),
        ] {
            write(&this.device, &line)?;
        }
        Ok(this)
    }

    /// Comes back when all are sent.
    fn generate(&self, count: u32) -> Result<()> {
        write(&self.device, &format!("count {count}"))?;
        write(&self.directory.join("pgctrl"), "start")?;
        let told = fs::read_to_string(&self.device).context("cannot read from pktgen")?;
        ensure!(told.contains("Result: OK"), "pktgen: {told}");
        Ok(())
    }
}

fn write(path: &Path, line: &str) -> Result<()> {
    fs::write(path, format!("{line}\n"))
        .with_context(|| format!("pktgen does not take `{line}` in {}", path.display()))
}
