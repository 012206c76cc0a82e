//! ARP requests, as `arping` sends them.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{PAUSE, is_refusal, packet::PacketSocket};

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

impl Request {
    /// The frame on the wire.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
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

    /// Is `frame` the reply to this request? Gives the hardware address it names.
    #[must_use]
    pub fn reply(&self, frame: &[u8]) -> Option<[u8; 6]> {
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

/// Sends `request` on `device` until it is answered; gives the hardware address, or nothing
/// when nobody answered within `patience`.
pub fn ask(device: &str, request: &Request, patience: Duration) -> Result<Option<[u8; 6]>> {
    let socket = PacketSocket::open(device, ETHER_TYPE)?;
    let frame = request.frame();
    let deadline = Instant::now() + patience;
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Ok(None);
        }
        match socket.send(&frame) {
            Err(errno) if !is_refusal(errno) => {
                return Err(errno).with_context(|| format!("cannot send ARP on {device}"));
            }
            _ => {}
        }
        if let Some(hardware) = answer(&socket, request, deadline.min(now + PAUSE))? {
            return Ok(Some(hardware));
        }
    }
}

fn answer(socket: &PacketSocket, request: &Request, deadline: Instant) -> Result<Option<[u8; 6]>> {
    let mut buffer = [0; 256];
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        let Some(length) = socket.receive(&mut buffer, left)? else {
            continue;
        };
        if let Some(hardware) = request.reply(&buffer[..length]) {
            return Ok(Some(hardware));
        }
    }
    Ok(None)
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
        assert_eq!(REQUEST.reply(&reply()), Some([2, 0, 0, 0, 0, 9]));
    }

    #[test]
    fn takes_no_other_frame() {
        assert_eq!(REQUEST.reply(&REQUEST.frame()), None);
        for byte in [0, 21, 28, 32, 38] {
            let mut frame = reply();
            frame[byte] ^= 1;
            assert_eq!(REQUEST.reply(&frame), None, "byte {byte}");
        }
        for length in 0..42 {
            assert_eq!(REQUEST.reply(&reply()[..length]), None, "length {length}");
        }
    }
}
