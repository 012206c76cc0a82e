//! Stations on the LAN: one that records what it receives, one that sends, one that answers every probe.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ipvlan_packet::{Arp, Mac, Nd, arp, nd};
use ipvlan_tests::probe::{claim, packet::PacketSocket};

use crate::common::{LAN, Topology};

use super::ip;

/// `ETH_P_ALL`
const ALL: u16 = 0x0003;

/// Receives every frame of the LAN and keeps what `read` returns of it.
pub(crate) struct Station<T> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<T>>,
}

impl<T: Send + 'static> Station<T> {
    fn start(
        net: &Topology,
        read: impl Fn(&PacketSocket, &[u8]) -> Option<T> + Send + 'static,
    ) -> Self {
        let socket = socket(net, ALL);
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 2048];
            let mut kept = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let received = socket.receive(&mut buffer, Duration::from_millis(20));
                if let Some(len) = received.unwrap() {
                    kept.extend(read(&socket, &buffer[..len]));
                }
            }
            kept
        });
        Self { stop, thread }
    }

    /// Everything that was kept.
    pub(crate) fn stop(self) -> Vec<T> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn socket(net: &Topology, ether_type: u16) -> PacketSocket {
    let open = || PacketSocket::open(LAN, ether_type);
    net.lan.run(open).unwrap()
}

/// Records frames and the times at which they were received.
pub(crate) type Capture = Station<(Instant, Vec<u8>)>;

/// Starts to record.
pub(crate) fn capture(net: &Topology) -> Capture {
    Station::start(net, |_, frame| Some((Instant::now(), frame.to_vec())))
}

impl Capture {
    /// When `frame` was received, in seconds since `start`.
    pub(crate) fn stop_and_find(self, frames: &[&[u8]], start: Instant) -> Vec<Vec<f64>> {
        let received = self.stop();
        let times = |wanted: &&[u8]| {
            let found = received.iter().filter(|(_, frame)| frame == wanted);
            found
                .map(|(at, _)| at.duration_since(start).as_secs_f64())
                .collect()
        };
        frames.iter().map(times).collect()
    }

    /// The records of multicast listener reports (RFC 3810 §5.2): their types and groups.
    pub(crate) fn stop_and_report(self) -> Vec<(u8, Ipv6Addr)> {
        let received = self.stop();
        received
            .iter()
            .filter_map(|(_, frame)| records(frame))
            .flatten()
            .collect()
    }
}

/// The records of a report, version 2. Its packet has a header of hop-by-hop options.
fn records(frame: &[u8]) -> Option<Vec<(u8, Ipv6Addr)>> {
    const REPORT: usize = 62;
    let is_report = frame.get(12..14)? == [0x86, 0xdd] && frame.get(20) == Some(&0);
    let &[143, _, _, _, _, _, high, low, ref rest @ ..] = frame.get(REPORT..)? else {
        return None;
    };
    let mut rest = rest;
    let mut records = Vec::new();
    for _ in 0..u16::from_be_bytes([high, low]) {
        let group: [u8; 16] = rest.get(4..20)?.try_into().ok()?;
        let sources = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        records.push((rest[0], group.into()));
        rest = rest.get(20 + 16 * sources + 4 * usize::from(rest[1])..)?;
    }
    is_report.then_some(records)
}

/// The frame in which `mac` announces `address` to all stations.
pub(crate) fn announcement(mac: Mac, address: &str) -> Vec<u8> {
    claim::frame(ip(address), mac).1
}

/// The probe of `mac` for `address`.
fn probe(mac: Mac, address: &str) -> Vec<u8> {
    match ip(address) {
        IpAddr::V4(v4) => Arp::request(mac, Ipv4Addr::UNSPECIFIED, v4).frame(),
        IpAddr::V6(v6) => {
            let nonce = nd::option(nd::NONCE, &[7; 6]);
            let probe = Nd::multicast(mac, Ipv6Addr::UNSPECIFIED, v6);
            probe.with(nonce).frame()
        }
    }
}

/// Sends what other stations send.
pub(crate) struct Sender(PacketSocket);

impl Sender {
    pub(crate) fn new(net: &Topology) -> Self {
        Self(socket(net, 0))
    }

    pub(crate) fn claims(&self, mac: Mac, address: &str) {
        self.0.send(&announcement(mac, address)).unwrap();
    }

    pub(crate) fn probes(&self, mac: Mac, address: &str) {
        self.0.send(&probe(mac, address)).unwrap();
    }
}

/// Starts a station with this MAC that answers each probe, whatever address it is for. It keeps the targets.
pub(crate) fn answers_for_all(net: &Topology, mac: Mac) -> Station<IpAddr> {
    Station::start(net, move |socket, frame| {
        let address = probed(frame, mac)?;
        socket.send(&claim::frame(address, mac).1).unwrap();
        Some(address)
    })
}

/// The address that a probe of another station is for.
fn probed(frame: &[u8], own: Mac) -> Option<IpAddr> {
    if let Some(probe) = Arp::parse(frame) {
        let is_probe = probe.oper == arp::REQUEST && probe.spa.is_unspecified();
        return (is_probe && probe.eth_src != own).then(|| probe.tpa.into());
    }
    let probe = Nd::parse(frame).filter(|message| message.kind == nd::SOLICITATION)?;
    (probe.is_probe() && probe.eth_src != own).then(|| probe.target.into())
}
