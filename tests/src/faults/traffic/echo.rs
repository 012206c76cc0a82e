//! A stream of numbered echo requests to one address, which the kernel there replies to.

use std::{
    net::IpAddr,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    sys::socket::{SockFlag, SockaddrStorage, connect, setsockopt, sockopt::RcvBufForce},
};

use super::source::{Log, Source};
use crate::probe::{ping, target::Target};

/// Room for everything that a machine that stands still for a while has not taken.
pub(super) const ROOM: usize = 4 << 20;

/// One stream.
#[derive(Debug)]
pub(super) struct Echo {
    pings: ping::Echo,
    address: IpAddr,
    interval: Duration,
}

impl Echo {
    /// A stream to `address` from the current netns.
    pub(super) fn open(address: IpAddr, interval: Duration) -> Result<Self> {
        let target = Target::from(address);
        let pings = ping::Echo::open(target, SockFlag::SOCK_NONBLOCK)?;
        setsockopt(&pings.socket, RcvBufForce, &ROOM).context("cannot have room for replies")?;
        // It receives what comes from there alone.
        let to = SockaddrStorage::from(target.port(0));
        connect(pings.socket.as_raw_fd(), &to).with_context(|| format!("cannot ping {address}"))?;
        Ok(Self {
            pings,
            address,
            interval,
        })
    }
}

impl Source for Echo {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.pings.socket.as_fd()]
    }

    fn send(&mut self, log: &Log) -> Result<()> {
        let number = log.next().to_be_bytes();
        log.send(self.address, false);
        // Whatever is in the way, the packet has not arrived.
        let _lost = self.pings.send(0, &number);
        Ok(())
    }

    fn receive(&self, log: &Log) -> Result<()> {
        loop {
            match self.pings.receive() {
                Ok(reply) => {
                    if let Some(number) = reply.and_then(|reply| reply.try_into().ok()) {
                        log.answered(u32::from_be_bytes(number), None);
                    }
                }
                Err(Errno::EAGAIN) => return Ok(()),
                // A router or a neighbour table that says no; the socket lives on.
                Err(_) => {}
            }
        }
    }
}
