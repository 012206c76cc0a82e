//! Who has that address? Asked by ARP or by neighbour discovery, on a device rather than of a kernel.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{PAUSE, is_refusal, packet::PacketSocket};

/// One question: a frame, and the frame that answers it.
pub trait Question {
    /// The `EtherType` of both.
    const ETHER_TYPE: u16;

    /// The question on the wire.
    fn frame(&self) -> Vec<u8>;

    /// Is `frame` the answer to this question? Gives the Ethernet address it names.
    fn answer(&self, frame: &[u8]) -> Option<[u8; 6]>;
}

/// Asks `question` on `device` until it is answered; gives the Ethernet address, or nothing
/// when nobody answered within `patience`.
pub fn ask<Q: Question>(device: &str, question: &Q, patience: Duration) -> Result<Option<[u8; 6]>> {
    let socket = PacketSocket::open(device, Q::ETHER_TYPE)?;
    let frame = question.frame();
    let deadline = Instant::now() + patience;
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Ok(None);
        }
        match socket.send(&frame) {
            Err(errno) if !is_refusal(errno) => {
                return Err(errno).with_context(|| format!("cannot ask on {device}"));
            }
            _ => {}
        }
        if let Some(hardware) = answer(&socket, question, deadline.min(now + PAUSE))? {
            return Ok(Some(hardware));
        }
    }
}

fn answer<Q: Question>(
    socket: &PacketSocket,
    question: &Q,
    deadline: Instant,
) -> Result<Option<[u8; 6]>> {
    let mut buffer = [0; 2048];
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        let Some(length) = socket.receive(&mut buffer, left)? else {
            continue;
        };
        if let Some(hardware) = question.answer(&buffer[..length]) {
            return Ok(Some(hardware));
        }
    }
    Ok(None)
}
