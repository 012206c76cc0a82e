//! The choices that make a random frame: numbers, MACs and addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipvlan_packet::{BROADCAST, Mac, nd};

use super::frames::OFF_LINK;
use crate::{
    probe::stream::Stream,
    rows::site::{
        DOWN, GATEWAY, HOST, MAC, NEIGHBOUR, Pair, STEADY, THIRD, UNNAMED, UNOWNED, VM01,
    },
};

/// The choices of one frame.
pub(super) struct Random(Stream);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(Stream::new(seed.wrapping_add(1)))
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(1);
        usize::try_from(self.0.below(limit)).unwrap_or_default()
    }

    pub(super) fn one_of(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// Returns one time in `many` what `odd` returns, else `usual`.
    pub(super) fn rarely<T>(
        &mut self,
        many: usize,
        usual: T,
        odd: impl FnOnce(&mut Self) -> T,
    ) -> T {
        if self.one_of(many) { odd(self) } else { usual }
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub(super) fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or_default()
    }

    pub(super) fn word(&mut self) -> u16 {
        u16::try_from(self.below(65_536)).unwrap_or_default()
    }

    pub(super) fn junk(&mut self, length: usize) -> Vec<u8> {
        let mut junk = vec![0; length.next_multiple_of(8)];
        self.0.fill(&mut junk);
        junk.truncate(length);
        junk
    }

    /// The destination in an Ethernet header.
    pub(super) fn destination_mac(&mut self) -> Mac {
        match self.below(12) {
            0..=5 => MAC,
            6..=7 => BROADCAST,
            8 => self.of(&[[1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]]),
            9 => nd::group_mac(nd::solicited_node(STEADY.v6)),
            10 => [2, 0xde, 0xad, self.byte(), 0, 1],
            _ => [0; 6],
        }
    }

    /// The source in an Ethernet header, or in ARP.
    pub(super) fn source_mac(&mut self) -> Mac {
        match self.below(6) {
            0..=3 => MAC,
            4 => [2, 0xde, 0xad, 0, 0, self.byte()],
            _ => self.of(&[BROADCAST, [0; 6], [1, 0, 0x5e, 0, 0, 1]]),
        }
    }

    /// An address that a packet claims to be from.
    pub(super) fn source(&mut self) -> Pair {
        match self.below(16) {
            0..=3 => THIRD,
            4..=5 => HOST,
            6 => GATEWAY,
            7..=8 => UNNAMED,
            9 => STEADY,
            10 => VM01,
            11..=12 => UNOWNED,
            13 => OFF_LINK,
            14 => NEIGHBOUR,
            _ => self.of(&SPECIAL),
        }
    }

    /// An address that a packet is for: mostly a sibling's.
    pub(super) fn target(&mut self) -> Pair {
        match self.below(16) {
            0..=8 => STEADY,
            9..=11 => UNNAMED,
            12 => self.of(&SPECIAL),
            13 => self.of(&[HOST, GATEWAY, VM01, DOWN]),
            14 => OFF_LINK,
            _ => THIRD,
        }
    }
}

/// Unspecified, loopback, broadcast and groups.
const SPECIAL: [Pair; 4] = [
    pair(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
    pair(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
    pair(Ipv4Addr::BROADCAST, nd::ALL_NODES),
    pair(Ipv4Addr::new(172, 16, 91, 255), ALL_ROUTERS_OF_SITE),
];
const ALL_ROUTERS_OF_SITE: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 2);

const fn pair(v4: Ipv4Addr, v6: Ipv6Addr) -> Pair {
    Pair { v4, v6 }
}
