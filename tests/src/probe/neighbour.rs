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

/// When to stop asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At the first answer.
    First,
    /// When the patience is over: whoever answers is heard.
    End,
}

/// Asks `question` on `device` until it is answered; gives the Ethernet address, or nothing
/// when nobody answered within `patience`.
pub fn ask<Q: Question>(device: &str, question: &Q, patience: Duration) -> Result<Option<[u8; 6]>> {
    let answers = answers(device, question, patience, Until::First)?;
    Ok(answers.first().copied())
}

/// Asks `question` on `device` again and again; gives the Ethernet addresses that were named
/// within `patience`, each once, in the order they were first heard.
pub fn answers<Q: Question>(
    device: &str,
    question: &Q,
    patience: Duration,
    until: Until,
) -> Result<Vec<[u8; 6]>> {
    let socket = PacketSocket::open(device, Q::ETHER_TYPE)?;
    let frame = question.frame();
    let deadline = Instant::now() + patience;
    let mut answers = Vec::new();
    loop {
        let now = Instant::now();
        if now >= deadline || (until == Until::First && !answers.is_empty()) {
            return Ok(answers);
        }
        match socket.send(&frame) {
            Err(errno) if !is_refusal(errno) => {
                return Err(errno).with_context(|| format!("cannot ask on {device}"));
            }
            _ => {}
        }
        listen(
            &socket,
            question,
            deadline.min(now + PAUSE),
            until,
            &mut answers,
        )?;
    }
}

fn listen<Q: Question>(
    socket: &PacketSocket,
    question: &Q,
    deadline: Instant,
    until: Until,
    answers: &mut Vec<[u8; 6]>,
) -> Result<()> {
    let mut buffer = [0; 2048];
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        let Some(length) = socket.receive(&mut buffer, left)? else {
            continue;
        };
        let Some(answer) = question.answer(&buffer[..length]) else {
            continue;
        };
        if !answers.contains(&answer) {
            answers.push(answer);
        }
        if until == Until::First {
            return Ok(());
        }
    }
    Ok(())
}
