//! Stations on the LAN that misbehave.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use ipvlan_tests::{netns::Netns, probe::packet::PacketSocket};
use ipvlan_user::lan::frame::{self, Mac};

/// `ETH_P_ALL`
const ALL: u16 = 0x0003;

/// A station that answers each probe, whatever address it is for.
pub(crate) struct AnswersForAll {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<IpAddr>>,
}

impl AnswersForAll {
    /// Starts to answer on a device, with this MAC.
    pub(crate) fn start(netns: &Netns, device: &str, mac: Mac) -> Self {
        let socket = netns.run(|| PacketSocket::open(device, ALL)).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 2048];
            let mut answered = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let received = socket.receive(&mut buffer, Duration::from_millis(20));
                let Some(length) = received.unwrap() else {
                    continue;
                };
                if let Some(address) = probed(&buffer[..length], mac) {
                    let answer = frame::announcement(mac, address, false, false);
                    socket.send(&answer).unwrap();
                    answered.push(address);
                }
            }
            answered
        });
        Self { stop, thread }
    }

    /// The targets of the probes that were answered.
    pub(crate) fn stop(self) -> Vec<IpAddr> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The address that a probe of another station is for.
fn probed(frame: &[u8], own: Mac) -> Option<IpAddr> {
    if frame.get(6..12)? == own {
        return None;
    }
    let bytes = |from: usize, to: usize| frame.get(from..to);
    match (bytes(12, 14)?, frame.len()) {
        // An ARP request from 0.0.0.0.
        ([8, 6], 42..) if bytes(20, 22)? == [0, 1] && bytes(28, 32)? == [0; 4] => {
            let address: [u8; 4] = bytes(38, 42)?.try_into().ok()?;
            Some(address.into())
        }
        // A solicitation from ::.
        ([0x86, 0xdd], 78..) if bytes(54, 55)? == [135] && bytes(22, 38)? == [0; 16] => {
            let address: [u8; 16] = bytes(62, 78)?.try_into().ok()?;
            Some(address.into())
        }
        _ => None,
    }
}
