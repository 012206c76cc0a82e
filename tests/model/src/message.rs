//! Messages of ARP and of neighbour discovery, for tables that hold for both, and their outcome.

use std::net::IpAddr;

use ipvlan_common::Reason;
use ipvlan_packet::nd::TARGET;

use super::{
    datapath::{Program, WIRE},
    frames::{
        Arp, Nd, arp,
        ndp::{self, SOURCE_MAC, TARGET_MAC, option},
    },
    rows::{Row, row},
    world::{CHILD_IP, CHILD_IP6, Mac, PARENT, UNSPECIFIED},
};

/// A request, a reply, a solicitation or an advertisement.
#[derive(Clone, Debug)]
pub enum Message {
    Arp(Arp),
    Nd(Nd),
}

impl From<Arp> for Message {
    fn from(message: Arp) -> Self {
        Self::Arp(message)
    }
}

impl From<Nd> for Message {
    fn from(message: Nd) -> Self {
        Self::Nd(message)
    }
}

impl From<&Self> for Message {
    fn from(message: &Self) -> Self {
        message.clone()
    }
}

impl From<&Nd> for Message {
    fn from(message: &Nd) -> Self {
        message.clone().into()
    }
}

impl Message {
    /// Returns the question of a LAN host for `target`, to broadcast or to the solicited-node group.
    pub fn ask(target: IpAddr) -> Self {
        match target {
            IpAddr::V4(target) => arp::request(target).into(),
            IpAddr::V6(target) => ndp::solicitation(target).into(),
        }
    }

    /// Returns the probe of a LAN host for `target` (RFC 5227, RFC 4862).
    pub fn probe(target: IpAddr) -> Self {
        match target {
            IpAddr::V4(target) => Arp {
                spa: UNSPECIFIED,
                ..arp::request(target)
            }
            .into(),
            IpAddr::V6(target) => ndp::probe(target).into(),
        }
    }

    /// Returns the announcement of a LAN host that it has `address`.
    pub fn announcement(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::ask(address).sender(address),
            IpAddr::V6(address) => ndp::announcement(address).into(),
        }
    }

    /// Returns the question of the host, or of an l2 child, for `target`.
    pub fn from_parent(src: IpAddr, target: IpAddr) -> Self {
        match (src, target) {
            (IpAddr::V4(src), IpAddr::V4(target)) => arp::from_parent(src, target).into(),
            (IpAddr::V6(src), IpAddr::V6(target)) => ndp::from_parent(src, target).into(),
            _ => panic!("{src} and {target} are of two families"),
        }
    }

    fn change(&self, arp: impl FnOnce(&mut Arp), nd: impl FnOnce(&mut Nd)) -> Self {
        let mut changed = self.clone();
        match &mut changed {
            Self::Arp(message) => arp(message),
            Self::Nd(message) => nd(message),
        }
        changed
    }

    /// Returns the same message in a frame to this MAC.
    pub fn to(&self, mac: Mac) -> Self {
        self.change(|it| it.eth_dst = mac, |it| it.eth_dst = mac)
    }

    /// Returns the same message in a frame from this MAC.
    pub fn source(&self, mac: Mac) -> Self {
        self.change(|it| it.eth_src = mac, |it| it.eth_src = mac)
    }

    /// Returns the same message, which itself names this MAC as the sender's.
    pub fn naming(&self, mac: Mac) -> Self {
        let option = |it: &Nd| match it.kind {
            ndp::ADVERTISEMENT => option(TARGET_MAC, &mac),
            _ => option(SOURCE_MAC, &mac),
        };
        self.change(|it| it.sha = mac, |it| it.options = option(it))
    }

    /// Returns the same message with this address of the sender.
    pub fn sender(&self, address: IpAddr) -> Self {
        let mut changed = self.clone();
        match (&mut changed, address) {
            (Self::Arp(message), IpAddr::V4(address)) => message.spa = address,
            (Self::Nd(message), IpAddr::V6(address)) => message.src = address,
            _ => panic!("{address} is of the other family"),
        }
        changed
    }

    /// Returns the same message to the parent's MAC; neighbour discovery to this address.
    pub fn to_station(&self, address: IpAddr) -> Self {
        let mut changed = self.to(PARENT);
        if let (Self::Nd(message), IpAddr::V6(address)) = (&mut changed, address) {
            message.dst = address;
        }
        changed
    }

    /// Returns the same message to its target alone, as a neighbour entry ages.
    pub fn unicast(&self) -> Self {
        self.to_station(self.target())
    }

    /// Returns the address that it is about.
    pub fn target(&self) -> IpAddr {
        match self {
            Self::Arp(message) => message.tpa.into(),
            Self::Nd(message) => message.target.into(),
        }
    }

    /// Returns whether its sender has no address yet.
    pub fn is_probe(&self) -> bool {
        match self {
            Self::Arp(message) => message.spa == UNSPECIFIED,
            Self::Nd(message) => message.is_probe(),
        }
    }

    pub fn frame(&self) -> Vec<u8> {
        match self {
            Self::Arp(message) => message.frame(),
            Self::Nd(message) => message.frame(),
        }
    }

    /// Returns the parent's answer for a host that does not forward. One to a solicitation of a group has its MAC.
    pub fn reply(&self) -> Vec<u8> {
        match self {
            Self::Arp(message) => message.answered_by(PARENT).frame(),
            Self::Nd(message) if message.is_probe() => advertisement(message, "O"),
            Self::Nd(message) if message.dst.is_multicast() => advertisement(message, "SO"),
            Self::Nd(message) => message.answered(PARENT, "S", Vec::new()).frame(),
        }
    }

    /// Returns a row that expects [`Message::reply`], counted for the child in `slot`, if it is a child's.
    pub fn answered(
        &self,
        name: impl Into<String>,
        programs: &'static [Program],
        slot: impl Into<Option<u32>>,
    ) -> Row {
        row(name, programs, self.frame()).replied(self, slot)
    }

    /// Returns a row that expects the message to be passed unchanged and counted for no child.
    pub fn passed(
        &self,
        name: impl Into<String>,
        programs: &'static [Program],
        reason: Reason,
    ) -> Row {
        row(name, programs, self.frame()).passes(reason)
    }
}

/// A broadcast request of a LAN host for a child.
pub const REQUEST: Arp = arp::request(CHILD_IP);

/// Returns a solicitation of a LAN host to a child's group.
pub fn solicitation() -> Nd {
    ndp::solicitation(CHILD_IP6)
}

/// Returns a row whose message is answered for the child in `slot`.
pub fn answers(name: impl Into<String>, message: impl Into<Message>, slot: u32) -> Row {
    message.into().answered(name, WIRE, slot)
}

/// Returns a row whose message is passed, and counted for no child.
pub fn passes(name: impl Into<String>, message: impl Into<Message>, reason: Reason) -> Row {
    message.into().passed(name, WIRE, reason)
}

/// Returns a row whose message is passed, and counted as refused for the child in `slot`.
pub fn refused(
    name: impl Into<String>,
    message: impl Into<Message>,
    reason: Reason,
    slot: u32,
) -> Row {
    passes(name, message, reason).refused(reason, slot)
}

/// Returns the advertisement that answers a solicitation with these flags and the parent's MAC.
pub fn advertisement(asked: &Nd, letters: &str) -> Vec<u8> {
    let advertisement = asked.answered(PARENT, letters, own_mac()).frame();
    assert_eq!(advertisement.len(), TARGET + 24);
    advertisement
}

/// Returns the option that a solicitation to a group is answered with.
pub fn own_mac() -> Vec<u8> {
    option(TARGET_MAC, &PARENT)
}
