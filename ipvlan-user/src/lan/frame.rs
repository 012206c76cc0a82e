//! The frames that the agent sends, byte for byte, in network order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A MAC address.
pub type Mac = [u8; 6];

/// Returns a MAC as the kernel and its tools write it.
#[must_use]
pub fn colons(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The broadcast MAC.
const BROADCAST: Mac = [0xff; 6];
/// `ETH_P_ARP`
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// `ETH_P_IP`
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
/// `ETH_P_IPV6`
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// Ethernet, IPv4, their lengths, request (RFC 826).
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
/// `ff02::1`
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// `ff02::2`
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// `IPPROTO_ICMPV6`
const ICMPV6: u8 = 58;
/// RFC 4861 §7.1: anything less was forwarded.
const HOP_LIMIT: u8 = 255;
/// RFC 4861 §4.3
const SOLICITATION: u8 = 135;
/// RFC 4861 §4.4
const ADVERTISEMENT: u8 = 136;
/// Flag R of an advertisement: the sender forwards.
const ROUTER: u8 = 0x80;
/// Flag O of an advertisement: replaces what the receiver knows.
const OVERRIDE: u8 = 0x20;
/// RFC 4861 §4.6.1, one unit of eight bytes long.
const SOURCE_LINK_LAYER: [u8; 2] = [1, 1];
/// RFC 4861 §4.6.1, one unit of eight bytes long.
const TARGET_LINK_LAYER: [u8; 2] = [2, 1];
/// RFC 3971 §5.3.2, one unit of eight bytes long.
const NONCE: [u8; 2] = [14, 1];

/// Returns the announcement of `address` to all stations.
///
/// IPv4: a gratuitous ARP request (RFC 5227 §3), 42 bytes. IPv6: an unsolicited advertisement to all
/// nodes (RFC 4861 §7.2.6; `ndisc_send_unsol_na` of the kernel), 86 bytes, with R if the child
/// forwards (`router`), and with O unless the address is `optimistic` (RFC 4429 §3.3).
#[must_use]
pub fn announcement(mac: Mac, address: IpAddr, router: bool, optimistic: bool) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp_request(mac, address, address),
        IpAddr::V6(address) => {
            let over = if optimistic { 0 } else { OVERRIDE };
            advertisement(mac, address, ALL_NODES, router_flag(router) | over)
        }
    }
}

/// Returns the announcement of a new `address` to routers, so that they resolve it before packets for it wait (RFC
/// 9131 §6.1): an unsolicited advertisement to all routers, 86 bytes. It adds an entry and replaces none (no O).
#[must_use]
pub fn to_routers(mac: Mac, address: Ipv6Addr, router: bool) -> Vec<u8> {
    advertisement(mac, address, ALL_ROUTERS, router_flag(router))
}

/// Returns a probe for `address`, which does not claim it.
///
/// IPv4: an ARP probe (RFC 5227 §2.1.1), 42 bytes. IPv6: a solicitation from :: (RFC 4862 §5.4.2)
/// with a `nonce`, by which a station that receives it twice recognises it (RFC 7527 §4), 86
/// bytes.
#[must_use]
pub fn probe(mac: Mac, address: IpAddr, nonce: [u8; 6]) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp_request(mac, Ipv4Addr::UNSPECIFIED, address),
        IpAddr::V6(address) => neighbour_discovery(
            mac,
            Ipv6Addr::UNSPECIFIED,
            solicited_node(address),
            [SOLICITATION, 0],
            address,
            (NONCE, nonce),
        ),
    }
}

/// Returns the request of a station with this MAC and the address `sender` for the MAC of `target`; none if the addresses
/// are of two families.
///
/// IPv4: a broadcast ARP request (RFC 826), 42 bytes. IPv6: a multicast solicitation with the MAC as an option (RFC 4861
/// §4.3), 86 bytes.
#[must_use]
pub fn request(mac: Mac, sender: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
    match (sender, target) {
        (IpAddr::V4(sender), IpAddr::V4(target)) => Some(arp_request(mac, sender, target)),
        (IpAddr::V6(sender), IpAddr::V6(target)) => Some(neighbour_discovery(
            mac,
            sender,
            solicited_node(target),
            [SOLICITATION, 0],
            target,
            (SOURCE_LINK_LAYER, mac),
        )),
        _ => None,
    }
}

/// Returns an IP packet in a frame from one MAC to another: an empty UDP datagram to the port `discard` (9). None if the
/// addresses are of two families. The datagram has no checksum: no socket receives it.
#[must_use]
pub fn packet([from, to]: [Mac; 2], [source, destination]: [IpAddr; 2]) -> Option<Vec<u8>> {
    const DATAGRAM: [u8; 8] = [0, 9, 0, 9, 0, 8, 0, 0];
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = [0; 20];
            // Version and length, total length, do not fragment, time to live, UDP.
            header[..10].copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17]);
            header[12..16].copy_from_slice(&source.octets());
            header[16..].copy_from_slice(&destination.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum);
            let frame = ethernet(to, from, ETHERTYPE_IPV4);
            Some([&frame[..], &header, &DATAGRAM].concat())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let frame = ethernet(to, from, ETHERTYPE_IPV6);
            // Version, payload length, UDP, hop limit.
            let header = [0x60, 0, 0, 0, 0, 8, 17, 64];
            let addresses = [source.octets(), destination.octets()].concat();
            Some([&frame[..], &header, &addresses, &DATAGRAM].concat())
        }
        _ => None,
    }
}

/// Returns the MAC that a reply to a request names for its target: of an ARP reply, or of an advertisement with this
/// option; none for any other frame.
#[must_use]
pub fn replied_mac(frame: &[u8]) -> Option<Mac> {
    /// Ethernet, IPv4, their lengths, reply.
    const ARP_REPLY: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 2];
    let ethertype = frame.get(12..14)?;
    let mac = if ethertype == ETHERTYPE_ARP && *frame.get(14..22)? == ARP_REPLY {
        frame.get(22..28)?
    } else if ethertype == ETHERTYPE_IPV6
        && frame.get(20) == Some(&ICMPV6)
        && frame.get(54) == Some(&ADVERTISEMENT)
        && frame.get(78..80) == Some(&TARGET_LINK_LAYER)
    {
        frame.get(80..86)?
    } else {
        return None;
    };
    mac.try_into().ok()
}

/// Returns the group in which the owner of `address` receives solicitations for it (RFC 4291 §2.7.1).
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// Returns the MAC that a multicast address is sent to (RFC 2464 §7).
#[must_use]
pub const fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

fn arp_request(mac: Mac, spa: Ipv4Addr, tpa: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, mac, ETHERTYPE_ARP);
    frame.extend(ARP_REQUEST);
    frame.extend(mac);
    frame.extend(spa.octets());
    frame.extend([0; 6]);
    frame.extend(tpa.octets());
    frame
}

const fn router_flag(router: bool) -> u8 {
    if router { ROUTER } else { 0 }
}

fn advertisement(mac: Mac, target: Ipv6Addr, to: Ipv6Addr, flags: u8) -> Vec<u8> {
    neighbour_discovery(
        mac,
        target,
        to,
        [ADVERTISEMENT, flags],
        target,
        (TARGET_LINK_LAYER, mac),
    )
}

/// A message of `kind` with code 0 and one option. Flags are the first byte behind the checksum.
fn neighbour_discovery(
    mac: Mac,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    [kind, flags]: [u8; 2],
    target: Ipv6Addr,
    (option, value): ([u8; 2], [u8; 6]),
) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    message.extend(option);
    message.extend(value);
    // 32 bytes: a length that fits into one of the two.
    let length = [0, message.len().to_le_bytes()[0]];

    // RFC 8200 §8.1: the pseudo-header is in front of what is summed.
    let checksum = checksum(&[
        &source.octets(),
        &destination.octets(),
        &[0, 0],
        &length,
        &[0, 0, 0, ICMPV6],
        &message,
    ]);
    message[2..4].copy_from_slice(&checksum);

    let mut frame = ethernet(multicast_mac(destination), mac, ETHERTYPE_IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length);
    frame.extend([ICMPV6, HOP_LIMIT]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(message);
    frame
}

fn ethernet(destination: Mac, source: Mac, ethertype: [u8; 2]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(86);
    frame.extend(destination);
    frame.extend(source);
    frame.extend(ethertype);
    frame
}

/// The internet checksum (RFC 1071) of parts of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let sum: u32 = parts
        .iter()
        .flat_map(|part| part.chunks_exact(2))
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [_, _, high, low] = (!folded).to_be_bytes();
    [high, low]
}

#[cfg(test)]
mod tests;
