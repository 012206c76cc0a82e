//! Who has that address? Asked by ARP or by neighbour discovery, on a device rather than of a kernel.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use ipvlan_packet::{
    ARP, Arp, BROADCAST, IPV6, Mac, Nd,
    nd::{ALL_NODES, ALL_NODES_MAC, TARGET_MAC},
};

use super::{PAUSE, is_refusal, packet::PacketSocket};
use crate::netns::Netns;

/// One question: a frame, and the frame that answers it.
pub trait Question {
    /// The `EtherType` of both.
    fn ether_type(&self) -> u16;

    /// The question on the wire.
    fn frame(&self) -> Vec<u8>;

    /// Is `frame` the answer to this question? Gives the Ethernet address it names.
    fn answer(&self, frame: &[u8]) -> Option<Mac>;
}

/// A request, as `arping` sends it.
impl Question for Arp {
    fn ether_type(&self) -> u16 {
        ARP
    }

    fn frame(&self) -> Vec<u8> {
        Self::frame(*self)
    }

    fn answer(&self, frame: &[u8]) -> Option<Mac> {
        let seen = Self::parse(frame)?;
        let expected = Self {
            eth_src: seen.eth_src,
            ..self.answered_by(seen.sha)
        };
        (seen == expected).then_some(seen.sha)
    }
}

/// A solicitation, as the kernel and `ndisc6` send it (RFC 4861 §4.3).
impl Question for Nd {
    fn ether_type(&self) -> u16 {
        IPV6
    }

    fn frame(&self) -> Vec<u8> {
        Self::frame(self)
    }

    /// The advertisement that an asking kernel would believe, with the flags that go with the
    /// question: a detected duplicate is sent to all nodes and is not solicited (RFC 4861 §7.2.4).
    fn answer(&self, frame: &[u8]) -> Option<Mac> {
        let seen = Self::advertisement(frame)?;
        let probe = self.is_probe();
        let to = if probe {
            (ALL_NODES_MAC, ALL_NODES)
        } else {
            (self.eth_src, self.src)
        };
        let fits = seen.target == self.target
            && (seen.eth_dst, seen.dst) == to
            && seen.is_solicited() != probe;
        // An answer to a group must say where it comes from; one to its own address need not.
        match seen.mac(TARGET_MAC) {
            Some(mac) if fits => Some(mac),
            None if fits && !self.dst.is_multicast() => Some(seen.eth_src),
            _ => None,
        }
    }
}

/// Returns the question for `target` that the station with `mac` and `source` sends: to every station, or to the MAC
/// `to` as a kernel does whose neighbour entry ages.
pub fn question(
    mac: Mac,
    source: IpAddr,
    target: IpAddr,
    to: Option<Mac>,
) -> Result<Box<dyn Question>> {
    Ok(match (source, target, to) {
        (IpAddr::V4(spa), IpAddr::V4(tpa), to) => {
            Box::new(Arp::request(mac, spa, tpa).to(to.unwrap_or(BROADCAST)))
        }
        (IpAddr::V6(src), IpAddr::V6(target), None) => Box::new(Nd::multicast(mac, src, target)),
        (IpAddr::V6(src), IpAddr::V6(target), Some(to)) => {
            Box::new(Nd::unicast(to, mac, src, target))
        }
        _ => bail!("{source} and {target} are of two families"),
    })
}

/// Returns the MAC that answers the question of `source`, on `device` of `netns`, for `target`.
pub fn who_has(
    netns: &Netns,
    device: &str,
    source: IpAddr,
    target: IpAddr,
    patience: Duration,
) -> Result<Option<Mac>> {
    let question = question(netns.hardware_address(device)?, source, target, None)?;
    netns.run(|| ask(device, &*question, patience))
}

/// When to stop asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At the first answer.
    First,
    /// When the patience is over: all answers count.
    End,
}

/// Asks `question` on `device` until it is answered; gives the Ethernet address, or nothing
/// when nobody answered within `patience`.
pub fn ask(device: &str, question: &dyn Question, patience: Duration) -> Result<Option<Mac>> {
    let answers = answers(device, question, patience, Until::First)?;
    Ok(answers.first().copied())
}

/// Asks `question` on `device` again and again; gives the Ethernet addresses that were named
/// within `patience`, each once, in the order they were first received.
pub fn answers(
    device: &str,
    question: &dyn Question,
    patience: Duration,
    until: Until,
) -> Result<Vec<Mac>> {
    let socket = PacketSocket::open(device, question.ether_type())?;
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

fn listen(
    socket: &PacketSocket,
    question: &dyn Question,
    deadline: Instant,
    until: Until,
    answers: &mut Vec<Mac>,
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ipvlan_packet::nd::{flags, option};

    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];
    const OTHER: Mac = [2, 0, 0, 0, 0, 9];
    const ASKER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x91, 0, 0, 0, 0, 0x10);
    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x91, 0, 0, 0, 0x12, 0x3456);

    #[test]
    fn an_arp_request_takes_its_own_reply_and_no_other_frame() {
        let v4 = |last| Ipv4Addr::new(172, 16, 91, last);
        let request = Arp::request(MAC, v4(10), v4(101));
        let reply = request.answered_by(OTHER).frame();
        assert_eq!(request.answer(&reply), Some(OTHER));
        assert_eq!(request.answer(&request.frame()), None);
        for byte in [0, 21, 28, 32, 38] {
            let mut frame = reply.clone();
            frame[byte] ^= 1;
            assert_eq!(request.answer(&frame), None, "byte {byte}");
        }
        for length in 0..42 {
            assert_eq!(request.answer(&reply[..length]), None, "length {length}");
        }
    }

    #[test]
    fn takes_the_answer_that_goes_with_the_question() {
        let question = Nd::multicast(MAC, ASKER, TARGET);
        let probe = Nd::multicast(MAC, Ipv6Addr::UNSPECIFIED, TARGET);
        let named = || option(TARGET_MAC, &OTHER);
        let answered = question.answered(OTHER, "SO", named());
        let announced = probe.answered(OTHER, "O", named());
        let flagged = |answer: &Nd, letters| Nd {
            flags: flags(letters),
            ..answer.clone()
        };
        let astray = Nd {
            eth_dst: OTHER,
            ..answered.clone()
        };
        let rows = [
            (&question, answered.clone(), Some(OTHER)),
            (&question, announced.clone(), None),
            (&question, flagged(&answered, "O"), None),
            (&question, astray, None),
            (&probe, announced.clone(), Some(OTHER)),
            (&probe, answered, None),
            (&probe, flagged(&announced, "SO"), None),
        ];
        for (number, (question, answer, expected)) in rows.into_iter().enumerate() {
            assert_eq!(question.answer(&answer.frame()), expected, "row {number}");
        }
    }

    #[test]
    fn only_a_unicast_answer_may_leave_its_address_out() {
        let unicast = Nd::unicast(OTHER, MAC, ASKER, TARGET);
        let bare = unicast.answered(OTHER, "SO", Vec::new()).frame();
        assert_eq!(unicast.answer(&bare), Some(OTHER));
        let multicast = Nd::multicast(MAC, ASKER, TARGET);
        assert_eq!(multicast.answer(&bare), None);
    }
}
