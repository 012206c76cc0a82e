//! What a station sends that has got an address: a gratuitous ARP request, an unsolicited advertisement.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use ipvlan_packet::{ARP, Arp, IPV6, Nd};

use super::packet::PacketSocket;

/// Returns the frame by which `mac` claims `address`, and its `EtherType`.
#[must_use]
pub fn frame(address: IpAddr, mac: [u8; 6]) -> (u16, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (ARP, Arp::request(mac, v4, v4).frame()),
        IpAddr::V6(v6) => (IPV6, Nd::announcement(mac, v6).frame()),
    }
}

/// Claims `address` for `mac` once, on `device` of the current netns.
pub fn send(device: &str, address: IpAddr, mac: [u8; 6]) -> Result<()> {
    let (ether_type, frame) = frame(address, mac);
    PacketSocket::open(device, ether_type)?
        .send(&frame)
        .with_context(|| format!("cannot claim {address} on {device}"))
        .map(drop)
}

/// Returns the address that a frame claims, if it is a gratuitous ARP request or an unsolicited advertisement.
#[must_use]
pub fn claimed(frame: &[u8]) -> Option<IpAddr> {
    if let Some(seen) = Arp::parse(frame) {
        return (seen.spa == seen.tpa).then(|| seen.tpa.into());
    }
    Nd::advertisement(frame)
        .filter(|seen| !seen.is_solicited())
        .map(|seen| seen.target.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    #[test]
    fn a_claim_names_its_address_and_other_frames_name_none() {
        for address in ["172.16.91.7", "2001:db8::7"] {
            let address: IpAddr = address.parse().unwrap();
            let (ether_type, frame) = frame(address, MAC);
            assert_eq!(frame[12..14], ether_type.to_be_bytes());
            assert_eq!(frame[6..12], MAC);
            assert_eq!(claimed(&frame), Some(address));
            assert_eq!(claimed(&frame[..20]), None);
        }
        let request = Arp::request(MAC, [172, 16, 91, 7].into(), [172, 16, 91, 8].into());
        assert_eq!(claimed(&request.frame()), None);
    }
}
