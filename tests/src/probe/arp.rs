//! ARP requests, as `arping` sends them.

use std::net::Ipv4Addr;

use super::neighbour::Question;
pub use super::neighbour::ask;

/// The `EtherType` of ARP.
pub const ETHER_TYPE: u16 = 0x0806;
/// The Ethernet address of everybody.
pub const BROADCAST: [u8; 6] = [0xff; 6];

/// One question: who has `tpa`?
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The Ethernet address it is sent to.
    pub to: [u8; 6],
    /// Sender hardware address.
    pub sha: [u8; 6],
    /// Sender protocol address; 0.0.0.0 for a probe.
    pub spa: Ipv4Addr,
    /// Target protocol address.
    pub tpa: Ipv4Addr,
}

impl Question for Request {
    const ETHER_TYPE: u16 = ETHER_TYPE;

    fn frame(&self) -> Vec<u8> {
        let Self { to, sha, spa, tpa } = self;
        let mut frame = Vec::with_capacity(42);
        frame.extend(to);
        frame.extend(sha);
        frame.extend(ETHER_TYPE.to_be_bytes());
        // Ethernet, IPv4, their lengths, request.
        frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend(sha);
        frame.extend(spa.octets());
        frame.extend([0; 6]);
        frame.extend(tpa.octets());
        frame
    }

    fn answer(&self, frame: &[u8]) -> Option<[u8; 6]> {
        let expected = frame.get(..6)? == self.sha
            && frame.get(12..22)? == [8, 6, 0, 1, 8, 0, 6, 4, 0, 2]
            && frame.get(28..32)? == self.tpa.octets()
            && frame.get(32..38)? == self.sha
            && frame.get(38..42)? == self.spa.octets();
        if expected {
            frame.get(22..28)?.try_into().ok()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Request = Request {
        to: BROADCAST,
        sha: [2, 0, 0, 0, 0, 1],
        spa: Ipv4Addr::new(172, 16, 91, 10),
        tpa: Ipv4Addr::new(172, 16, 91, 101),
    };

    fn reply() -> Vec<u8> {
        let mut frame = REQUEST.sha.to_vec();
        frame.extend([2, 0, 0, 0, 0, 9]);
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        frame.extend([2, 0, 0, 0, 0, 9]);
        frame.extend(REQUEST.tpa.octets());
        frame.extend(REQUEST.sha);
        frame.extend(REQUEST.spa.octets());
        frame
    }

    #[test]
    fn takes_its_own_reply() {
        assert_eq!(REQUEST.answer(&reply()), Some([2, 0, 0, 0, 0, 9]));
    }

    #[test]
    fn takes_no_other_frame() {
        assert_eq!(REQUEST.answer(&REQUEST.frame()), None);
        for byte in [0, 21, 28, 32, 38] {
            let mut frame = reply();
            frame[byte] ^= 1;
            assert_eq!(REQUEST.answer(&frame), None, "byte {byte}");
        }
        for length in 0..42 {
            assert_eq!(REQUEST.answer(&reply()[..length]), None, "length {length}");
        }
    }
}
