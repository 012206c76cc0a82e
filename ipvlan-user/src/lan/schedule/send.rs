//! Sends the frames that have their turn.

use std::{net::IpAddr, time::Instant};

use tracing::debug;

use super::Schedule;
use crate::lan::{announce::Announcement, frame, socket::Sent, turns};

/// Most frames that are sent before other work has its turn.
const AT_ONCE: usize = 100;

impl Schedule {
    /// Sends the frames that have their turn.
    pub fn send(&mut self, now: Instant) {
        if !self.can_send {
            return;
        }
        for _ in 0..AT_ONCE {
            let Some((address, kind)) = self.turns.next(now) else {
                return;
            };
            match kind {
                turns::Kind::Control => {
                    self.send_probe(address);
                    self.dad.control_sent(now, address);
                }
                turns::Kind::Probe => {
                    if self.dad.turn(now, address, &mut self.random)
                        && self.send_probe(address) != Some(Sent::Yes)
                    {
                        self.dad.unsent(now, address);
                    }
                }
                turns::Kind::Announcement => {
                    let announced = self.announced(address);
                    let announcement = self
                        .announce
                        .as_mut()
                        .zip(announced)
                        .and_then(|(of, announced)| {
                            of.turn(now, &mut self.random, address, announced)
                        })
                        .filter(|_| self.defence.is_settled(now, address));
                    if let Some(announcement) = announcement {
                        self.announce(&announcement);
                    }
                }
                turns::Kind::Defence => self.defend(now, address),
            }
        }
    }

    pub(super) fn announce(&mut self, announcement: &Announcement) {
        let &Announcement {
            address,
            announced,
            to_routers,
        } = announcement;
        if let (true, IpAddr::V6(address)) = (to_routers, address) {
            self.send_frame(&frame::to_routers(self.mac, address, announced.router));
        }
        // One that is lost is one of several.
        self.send_frame(&frame::announcement(
            self.mac,
            address,
            announced.router,
            announced.optimistic,
        ));
    }

    fn send_probe(&mut self, address: IpAddr) -> Option<Sent> {
        let probe = frame::probe(self.mac, address, self.random.nonce());
        self.send_frame(&probe)
    }

    /// Sends a frame. Returns `None` after a failure, which is kept for `status`.
    fn send_frame(&mut self, frame: &[u8]) -> Option<Sent> {
        match self.socket.send(frame) {
            Ok(sent) => {
                if sent == Sent::Yes {
                    self.failure = None;
                }
                Some(sent)
            }
            Err(failure) => {
                debug!(parent = self.parent, "not sent: {failure}");
                self.failure = Some(failure);
                None
            }
        }
    }
}
