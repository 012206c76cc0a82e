//! What a station sends that has got an address: a gratuitous ARP request, an unsolicited advertisement.

use std::net::IpAddr;

use anyhow::{Context as _, Result};

use super::{arp, nd, neighbour::Question as _, packet::PacketSocket};

/// Returns the frame by which `mac` claims `address`, and its `EtherType`.
#[must_use]
pub fn frame(address: IpAddr, mac: [u8; 6]) -> (u16, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            let request = arp::Request {
                to: arp::BROADCAST,
                sha: mac,
                spa: v4,
                tpa: v4,
            };
            (arp::ETHER_TYPE, request.frame())
        }
        IpAddr::V6(v6) => {
            let advertisement = nd::Advertisement {
                ethernet: mac,
                source: v6,
                destination: nd::ALL_NODES,
                target: v6,
                router: false,
                solicited: false,
                overrides: true,
                target_link_layer: Some(mac),
            };
            (
                nd::ETHER_TYPE,
                advertisement.frame(nd::group_address(nd::ALL_NODES)),
            )
        }
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
    if frame.get(12..14)? == arp::ETHER_TYPE.to_be_bytes() {
        let [spa, tpa] = [frame.get(28..32)?, frame.get(38..42)?];
        let address: [u8; 4] = spa.try_into().ok()?;
        return (spa == tpa).then(|| address.into());
    }
    nd::Advertisement::parse(frame)
        .filter(|seen| !seen.solicited)
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
        let request = arp::Request {
            to: arp::BROADCAST,
            sha: MAC,
            spa: [172, 16, 91, 7].into(),
            tpa: [172, 16, 91, 8].into(),
        };
        assert_eq!(claimed(&request.frame()), None);
    }
}
