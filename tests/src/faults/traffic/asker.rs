//! Who has that address? Asked about every address in turn, to everybody and to the parent's MAC.
//!
//! Neither ARP nor neighbour discovery numbers its questions. Here every question comes from a MAC of
//! its own, which the answer goes to, so an answer tells which question it belongs to.

use std::{
    net::IpAddr,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use ipvlan_packet::{ARP, IPV6, Mac};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv, send, setsockopt, sockopt::RcvBufForce},
};

use super::{
    echo::ROOM,
    source::{Log, Source},
};
use crate::{
    family::Family,
    probe::{
        neighbour::{self, Question},
        packet::PacketSocket,
    },
    rows::site::{LAN, Pair},
};

/// The addresses that questions come from; nobody has them, so no neighbour entry suffers.
const ASKER: Pair = Pair::new(9);
/// The first bytes of the MACs that questions come from.
const PREFIX: [u8; 2] = [0x02, 0xfa];

/// What is asked, as a row changes it.
#[derive(Debug)]
pub(super) struct Topics {
    /// The addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// The MAC that is asked whether it still has them.
    pub(super) mac: Mac,
}

/// The one who asks.
#[derive(Debug)]
pub(super) struct Asker {
    /// Of ARP and of neighbour discovery.
    sockets: [OwnedFd; 2],
    topics: Arc<Mutex<Topics>>,
    turn: usize,
    interval: Duration,
}

impl Asker {
    /// One on the LAN; to be called in its netns.
    pub(super) fn open(topics: Arc<Mutex<Topics>>, interval: Duration) -> Result<Self> {
        let open = |ether_type| -> Result<OwnedFd> {
            let socket = PacketSocket::open(LAN, ether_type)?.into_inner();
            setsockopt(&socket, RcvBufForce, &ROOM).context("cannot have room for answers")?;
            Ok(socket)
        };
        Ok(Self {
            sockets: [open(ARP)?, open(IPV6)?],
            topics,
            turn: 0,
            interval,
        })
    }

    /// Whom to ask about next, whether to ask everybody, and the MAC that has it.
    fn next(&mut self) -> Option<(IpAddr, bool, Mac)> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let everybody = self.turn.is_multiple_of(2);
        let address = *topics
            .addresses
            .get(self.turn / 2 % topics.addresses.len().max(1))?;
        self.turn += 1;
        Some((address, everybody, topics.mac))
    }
}

impl Source for Asker {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets.iter().map(OwnedFd::as_fd).collect()
    }

    fn send(&mut self, log: &Log) -> Result<()> {
        let Some((address, everybody, mac)) = self.next() else {
            return Ok(());
        };
        let question = question(log.next(), address, everybody, mac)?;
        log.send(address, everybody);
        let socket = &self.sockets[usize::from(Family::of(address) == Family::V6)];
        let _lost = send(socket.as_raw_fd(), &question.frame(), MsgFlags::empty());
        Ok(())
    }

    fn receive(&self, log: &Log) -> Result<()> {
        let mut frame = [0; 256];
        for socket in &self.sockets {
            loop {
                match recv(socket.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT) {
                    Ok(length) => hear(&frame[..length.min(frame.len())], log)?,
                    Err(Errno::EAGAIN) => break,
                    Err(Errno::EINTR | Errno::ENETDOWN) => {}
                    Err(errno) => return Err(errno).context("cannot hear answers"),
                }
            }
        }
        Ok(())
    }
}

fn hear(frame: &[u8], log: &Log) -> Result<()> {
    let Some((number, sent)) = number(frame).and_then(|number| Some((number, log.of(number)?)))
    else {
        return Ok(());
    };
    // Where a question goes to does not change what answers it, but whether its address may be left out.
    let mac = frame.get(6..12).and_then(|mac| mac.try_into().ok());
    let mac = mac.unwrap_or_default();
    let answer = question(number, sent.address, sent.everybody, mac)?.answer(frame);
    if answer.is_some() {
        log.answered(number, answer);
    }
    Ok(())
}

/// Returns the question with this number, to everybody or to a MAC.
fn question(number: u32, address: IpAddr, everybody: bool, mac: Mac) -> Result<Box<dyn Question>> {
    let to = (!everybody).then_some(mac);
    neighbour::question(asker(number), ASKER.like(address), address, to)
}

/// The question that `frame` goes back to.
fn number(frame: &[u8]) -> Option<u32> {
    let rest = frame.get(..6)?.strip_prefix(&PREFIX)?;
    Some(u32::from_be_bytes(rest.try_into().ok()?))
}

fn asker(number: u32) -> Mac {
    let mut mac = [0; 6];
    mac[..2].copy_from_slice(&PREFIX);
    mac[2..].copy_from_slice(&number.to_be_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_its_question() {
        assert_eq!(number(&asker(0x0001_0203)), Some(0x0001_0203));
        assert_eq!(number(&[2, 0, 0, 0, 0, 1]), None);
    }
}
