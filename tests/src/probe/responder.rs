//! A station that answers frames.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Result;

use super::packet::PacketSocket;

const POLL: Duration = Duration::from_millis(2);

/// Sends what `answer` returns for frames of `ether_type` on `device` of the current netns, until `stop`; returns how
/// often.
pub fn respond(
    device: &str,
    ether_type: u16,
    stop: &AtomicBool,
    answer: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<u32> {
    let socket = PacketSocket::open(device, ether_type)?;
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        if let Some(reply) = socket.frame(POLL)?.and_then(|frame| answer(&frame)) {
            let _dropped = socket.send(&reply);
            answers += 1;
        }
    }
    Ok(answers)
}
