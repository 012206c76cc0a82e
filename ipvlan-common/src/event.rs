//! What the programs tell the agent about: stations on the LAN that are at odds with a child.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Hook, halves_v6};

/// What a station on the LAN did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EventKind {
    /// It claims an address of the host or of a child: ARP with it as sender (RFC 5227 §2.4), an
    /// advertisement with it as target, or a solicitation from it.
    Claim = 1,
    /// It probes for an address of a child (RFC 5227 §2.1.1, RFC 4862 §5.4): it wants to take it.
    Probe = 2,
    /// It sends a probe to the parent's MAC. No claim: switches that track devices send such probes to
    /// stations that they know (Cisco IP Device Tracking, from 0.0.0.0).
    UnicastProbe = 3,
}

/// Record of the `EVENTS` ring buffer: 32 bytes, no padding. In whole words, as the programs make them on
/// the stack, where kernels before 6.8 refuse programs without `CAP_PERFMON` that write a part of a word that may
/// have held a register (`check_stack_write_fixed_off`).
///
/// The programs tell a station's events at a bounded rate, and count those they do not tell
/// ([`Reason::EventSuppressed`](crate::Reason::EventSuppressed)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Event {
    /// As on the wire.
    address: [u64; 2],
    /// Bytes: MAC, kind, family.
    who: u64,
    /// Number of the hook above, slot of the child below.
    at: u64,
}

const _: () = assert!(size_of::<Event>() == 32 && align_of::<Event>() == 8);

/// `Event::family` of an IPv4 address, in the first four bytes of `address`.
const IPV4: u8 = 4;
/// `Event::family` of an IPv6 address.
const IPV6: u8 = 6;

impl Event {
    /// The station's MAC and what it did as one number, by which the rate is bounded.
    #[must_use]
    #[inline]
    pub const fn source(&self) -> u64 {
        let mut source = self.who.to_ne_bytes();
        source[7] = 0;
        u64::from_ne_bytes(source)
    }

    /// The station with this MAC did this with an IPv4 address of the child that is counted in this slot
    /// ([`AddressEntry::NO_SLOT`](crate::AddressEntry::NO_SLOT) for an address of the host).
    #[must_use]
    #[inline]
    pub const fn ipv4(
        kind: EventKind,
        hook: Hook,
        mac: [u8; 6],
        address: [u8; 4],
        slot: u32,
    ) -> Self {
        let [a, b, c, d] = address;
        Self {
            address: [u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]), 0],
            who: who(mac, kind, IPV4),
            at: at(hook, slot),
        }
    }

    /// As [`Self::ipv4`], for an IPv6 address.
    #[must_use]
    #[inline]
    pub const fn ipv6(
        kind: EventKind,
        hook: Hook,
        mac: [u8; 6],
        address: [u8; 16],
        slot: u32,
    ) -> Self {
        Self {
            address: halves_v6(address),
            who: who(mac, kind, IPV6),
            at: at(hook, slot),
        }
    }

    /// What happened; `None` for a number this build does not know.
    #[must_use]
    pub const fn kind(&self) -> Option<EventKind> {
        let [.., kind, _] = self.who.to_ne_bytes();
        match kind {
            1 => Some(EventKind::Claim),
            2 => Some(EventKind::Probe),
            3 => Some(EventKind::UnicastProbe),
            _ => None,
        }
    }

    /// Returns the words of the address as on the wire, and whether it is an IPv4 address: then it is the
    /// first four bytes.
    #[must_use]
    #[inline]
    pub const fn address_words(&self) -> ([u64; 2], bool) {
        let [.., family] = self.who.to_ne_bytes();
        (self.address, family == IPV4)
    }

    /// The address it is about; `None` for a family this build does not know.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        let [first, last] = self.address;
        let [a, b, c, d, ..] = first.to_ne_bytes();
        let [.., family] = self.who.to_ne_bytes();
        match family {
            IPV4 => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
            IPV6 => {
                let [first, last] = [u64::from_be(first) as u128, u64::from_be(last) as u128];
                Some(IpAddr::V6(Ipv6Addr::from_bits((first << 64) | last)))
            }
            _ => None,
        }
    }

    /// MAC of the station: the one it claims or asks with.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        let [mac @ .., _, _] = self.who.to_ne_bytes();
        mac
    }

    /// Index of the child's counters; [`AddressEntry::NO_SLOT`](crate::AddressEntry::NO_SLOT) for an address of the
    /// host.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "the lower half")]
    pub const fn slot(&self) -> u32 {
        self.at as u32
    }

    /// Where it was seen; `None` for a number this build does not know.
    #[must_use]
    pub const fn hook(&self) -> Option<Hook> {
        match self.at >> 32 {
            0 => Some(Hook::Ingress),
            1 => Some(Hook::Egress),
            2 => Some(Hook::Xdp),
            _ => None,
        }
    }

    /// The event in a record of the ring buffer; `None` if the record has another size.
    #[must_use]
    pub fn from_record(record: &[u8]) -> Option<Self> {
        let record: &[u8; size_of::<Self>()] = record.try_into().ok()?;
        let (words, _) = record.as_chunks::<8>();
        let [first, last, who, at] = words.try_into().ok()?;
        Some(Self {
            address: [u64::from_ne_bytes(first), u64::from_ne_bytes(last)],
            who: u64::from_ne_bytes(who),
            at: u64::from_ne_bytes(at),
        })
    }
}

#[inline]
const fn who(mac: [u8; 6], kind: EventKind, family: u8) -> u64 {
    u64::from_ne_bytes([
        mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], kind as u8, family,
    ])
}

#[inline]
const fn at(hook: Hook, slot: u32) -> u64 {
    (hook as u64) << 32 | slot as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_from_elsewhere_has_no_name() {
        let event = Event {
            who: u64::from_ne_bytes([9; 8]),
            at: 9 << 32,
            ..Event::default()
        };
        assert_eq!(
            (event.kind(), event.address(), event.hook()),
            (None, None, None)
        );
    }
}
