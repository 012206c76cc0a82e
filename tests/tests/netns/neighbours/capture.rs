//! Who said what on a device, and when it was heard.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use etherparse::{Icmpv6Type, LinkSlice, NetSlice, SlicedPacket, TransportSlice};
use ipvlan_tests::{netns::Netns, probe::packet::PacketSocket};

pub(crate) const ETH_P_ARP: u16 = 0x0806;
pub(crate) const ETH_P_IPV6: u16 = 0x86dd;

type Mac = [u8; 6];

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// An ARP request in which sender and target address are the same.
    Gratuitous { mac: Mac, address: IpAddr },
    /// An ARP request from nobody.
    Probe { mac: Mac, address: IpAddr },
    /// An ARP reply.
    Reply { mac: Mac, address: IpAddr },
    /// A neighbour advertisement that nobody solicited.
    Advertisement {
        mac: Mac,
        target: IpAddr,
        to: IpAddr,
        overrides: bool,
    },
    /// A multicast listener report: types of records (RFC 3810 §5.2.12) and their groups.
    Listener(Vec<(u8, Ipv6Addr)>),
    /// Anything else.
    Other,
}

/// Listens on a device.
pub(crate) struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, Said)>>,
}

impl Capture {
    /// Starts to listen for frames of this `EtherType`.
    pub(crate) fn start(netns: &Netns, device: &str, ether_type: u16) -> Self {
        let socket = netns
            .run(|| PacketSocket::open(device, ether_type))
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 2048];
            let mut heard = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let received = socket.receive(&mut buffer, Duration::from_millis(50));
                if let Some(length) = received.unwrap() {
                    heard.push((Instant::now(), said(&buffer[..length])));
                }
            }
            heard
        });
        Self { stop, thread }
    }

    /// Everything that was heard.
    pub(crate) fn stop(self) -> Vec<(Instant, Said)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn said(frame: &[u8]) -> Said {
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else {
        return Said::Other;
    };
    let Some(LinkSlice::Ethernet2(link)) = &packet.link else {
        return Said::Other;
    };
    match &packet.net {
        Some(NetSlice::Arp(arp)) => arp.to_packet().try_eth_ipv4().map_or(Said::Other, |arp| {
            assert_eq!(arp.sender_mac, link.source());
            let mac = arp.sender_mac;
            let address = IpAddr::from(arp.target_ipv4);
            match (arp.operation.0, arp.sender_ipv4) {
                (1, spa) if spa == arp.target_ipv4 => Said::Gratuitous { mac, address },
                (1, [0, 0, 0, 0]) => Said::Probe { mac, address },
                (2, spa) => Said::Reply {
                    mac,
                    address: spa.into(),
                },
                _ => Said::Other,
            }
        }),
        Some(NetSlice::Ipv6(ip)) => {
            let Some(TransportSlice::Icmpv6(icmp)) = &packet.transport else {
                return Said::Other;
            };
            match icmp.icmp_type() {
                Icmpv6Type::NeighborAdvertisement(header) if !header.solicited => {
                    let target: [u8; 16] = icmp.payload()[..16].try_into().unwrap();
                    assert_eq!(icmp.payload()[16..18], [2, 1]);
                    Said::Advertisement {
                        mac: icmp.payload()[18..24].try_into().unwrap(),
                        target: target.into(),
                        to: ip.header().destination_addr().into(),
                        overrides: header.r#override,
                    }
                }
                // Version 2 of the report.
                Icmpv6Type::Unknown {
                    type_u8: 143,
                    bytes5to8,
                    ..
                } => Said::Listener(records(bytes5to8, icmp.payload())),
                _ => Said::Other,
            }
        }
        _ => Said::Other,
    }
}

fn records([_, _, high, low]: [u8; 4], mut payload: &[u8]) -> Vec<(u8, Ipv6Addr)> {
    let mut records = Vec::new();
    for _ in 0..u16::from_be_bytes([high, low]) {
        let group: [u8; 16] = payload[4..20].try_into().unwrap();
        let sources = usize::from(u16::from_be_bytes([payload[2], payload[3]]));
        records.push((payload[0], group.into()));
        payload = &payload[20 + 16 * sources + 4 * usize::from(payload[1])..];
    }
    records
}
