//! Stations on the LAN: one that records what it receives, and one that probes.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ipvlan_packet::{Arp, Mac};
use ipvlan_tests::probe::{claim, packet::PacketSocket};

use crate::common::{LAN, Topology};

use super::ip;

/// `ETH_P_ALL`
const ALL: u16 = 0x0003;

/// Records every frame of the LAN, and when it was received.
pub(crate) struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, Vec<u8>)>>,
}

/// Starts to record.
pub(crate) fn capture(net: &Topology) -> Capture {
    let socket = socket(net, ALL);
    let stop = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        let mut buffer = [0; 2048];
        let mut frames = Vec::new();
        while !until.load(Ordering::Relaxed) {
            let received = socket.receive(&mut buffer, Duration::from_millis(20));
            if let Some(len) = received.unwrap() {
                frames.push((Instant::now(), buffer[..len].to_vec()));
            }
        }
        frames
    });
    Capture { stop, thread }
}

fn socket(net: &Topology, ether_type: u16) -> PacketSocket {
    let open = || PacketSocket::open(LAN, ether_type);
    net.lan.run(open).unwrap()
}

impl Capture {
    /// Everything that was recorded.
    pub(crate) fn stop(self) -> Vec<(Instant, Vec<u8>)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }

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

/// Sends the probe of `mac` for an address, as another station does.
pub(crate) fn send_probe(net: &Topology, mac: Mac, address: Ipv4Addr) {
    let probe = Arp::request(mac, Ipv4Addr::UNSPECIFIED, address);
    socket(net, 0).send(&probe.frame()).unwrap();
}
