//! Events for the agent: stations that claim or probe for an address of the host or of a child.
//!
//! An event never influences a verdict. Its rate is bounded per station and, since a station chooses its MAC freely, in
//! total.

use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{Array, LruHashMap, RingBuf},
};
use ipvlan_common::{AddressEntry, Event, EventKind, Hook, Reason};

use super::{AddressMap, counters};
use crate::{
    decide::{Decision, guard::UNSPECIFIED},
    parse::{Arp, Nd},
    wire::{Ip6, Mac},
};

/// Size of the ring buffer, in bytes: room for about 1 600 events.
const RING: u32 = 64 * 1024;

/// Stations, once for each kind of event, whose rate is known at a time. The one heard of longest ago is
/// forgotten first.
const STATIONS: u32 = 1024;

const SECOND: u64 = 1_000_000_000;

/// Rate of the events of one kind that one station causes: a station that sends many probes is still
/// reported when it claims.
const OF_STATION: Rate = Rate {
    burst: 8,
    interval: SECOND,
};
/// The same for events about addresses that the agent is probing for. One station can own many of them.
const OF_STATION_PROBED: Rate = Rate {
    burst: 32,
    interval: SECOND / 16,
};
/// Rate of the events of all stations together. Events about addresses that the agent is probing for have
/// a bucket of their own, so that claims of other addresses never use up the answer to a probe.
const OF_ALL: Rate = Rate {
    burst: 64,
    interval: SECOND / 64,
};

/// Index into `EVENT_TOTAL` of the bucket of events about addresses that are not probed for.
const OTHERS: u32 = 0;
/// Index into `EVENT_TOTAL` of the bucket of events about addresses that the agent is probing for.
const PROBED: u32 = 1;

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(RING, 0);

#[map]
static EVENT_STATIONS: LruHashMap<u64, Bucket> = LruHashMap::with_max_entries(STATIONS, 0);

#[map]
static EVENT_TOTAL: Array<Bucket> = Array::with_max_entries(2, 0);

/// Emits an event for an ARP message from the wire, if it claims or probes for an address.
#[inline(always)]
pub fn emit_arp(hook: Hook, arp: &Arp, decision: Decision) {
    let (kind, address) = match decision.reason {
        Reason::SenderConflict => (EventKind::Claim, arp.spa),
        reason if is_of_child(reason) && arp.spa == UNSPECIFIED => (probe(arp.eth_dst), arp.tpa),
        _ => return,
    };
    let event = Event::ipv4(kind, hook, arp.sha.bytes(), address, decision.slot);
    emit(&event, hook);
}

/// Emits an event for a solicitation from the wire, if it claims or probes for an address.
#[inline(always)]
pub fn emit_solicitation(hook: Hook, nd: &Nd, decision: Decision) {
    let (kind, address) = match decision.reason {
        Reason::SenderConflict => (EventKind::Claim, nd.header.src),
        reason if is_of_child(reason) && nd.is_dad() => {
            (probe(nd.header.eth_dst), nd.header.target)
        }
        _ => return,
    };
    let mac = nd.mac();
    let event = Event::ipv6(kind, hook, mac.bytes(), address.bytes(), decision.slot);
    emit(&event, hook);
}

/// Emits an event for an advertisement from the wire, if it claims an address.
#[inline(always)]
pub fn emit_advertisement(hook: Hook, nd: &Nd, decision: Decision) {
    if decision.reason != Reason::SenderConflict {
        return;
    }
    let mac = nd.mac();
    let event = Event::ipv6(
        EventKind::Claim,
        hook,
        mac.bytes(),
        nd.header.target.bytes(),
        decision.slot,
    );
    emit(&event, hook);
}

/// Whether who probes for the address wants that of a child which is answered for, or is itself being
/// probed for (RFC 5227 §2.1.1).
#[inline(always)]
const fn is_of_child(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ArpAnswered | Reason::NdAnswered | Reason::Probing | Reason::Duplicate
    )
}

/// The kind of a probe in a frame to this MAC.
#[inline(always)]
fn probe(eth_dst: Mac) -> EventKind {
    if eth_dst.is_group() {
        EventKind::Probe
    } else {
        EventKind::UnicastProbe
    }
}

/// A function of its own: it is rarely called, and the verifier follows it apart from the callers.
#[inline(never)]
fn emit(event: &Event, hook: Hook) {
    let probed = is_probed(event);
    if !(is_due(event.source(), probed) && EVENTS.output::<Event>(event, 0).is_ok()) {
        let reason = if probed {
            Reason::ProbedEventSuppressed
        } else {
            Reason::EventSuppressed
        };
        counters::count(hook, reason as u8, AddressEntry::NO_SLOT);
    }
}

/// Whether the agent is probing the LAN for the address. Looked up once more rather than passed along: no
/// other frame pays for it.
#[inline(always)]
fn is_probed(event: &Event) -> bool {
    let (words, is_v4) = event.address_words();
    // A branch each, and a number each: an entry that is there on one path only is an unwritten register on
    // the other, which kernels before 6.17 refuse to follow speculatively without CAP_PERFMON.
    if is_v4 {
        let [a, b, c, d, ..] = words[0].to_ne_bytes();
        AddressMap::is_probed_v4([a, b, c, d])
    } else {
        AddressMap::is_probed_v6(Ip6::from_halves(words))
    }
}

/// Whether this station, and all together, may cause one more event about an address that is or is not
/// being probed for.
#[inline(always)]
fn is_due(source: u64, probed: bool) -> bool {
    let (total, of_station, source) = if probed {
        // The last byte is free (`Event::source`).
        const APART: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 1]);
        (PROBED, OF_STATION_PROBED, source | APART)
    } else {
        (OTHERS, OF_STATION, source)
    };
    // SAFETY: the helper takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    // Buckets are changed without a lock: when two CPUs meet, one event more is sent.
    match EVENT_STATIONS.get_ptr_mut(source) {
        Some(bucket) => {
            // SAFETY: the value of a map entry; an entry that is reused meanwhile is one bucket or
            // another.
            if !unsafe { &mut *bucket }.take(now, of_station) {
                return false;
            }
        }
        // Without room for it the total still counts.
        None => drop(EVENT_STATIONS.insert(source, Bucket::new(now, of_station), 0)),
    }
    match EVENT_TOTAL.get_ptr_mut(total) {
        // SAFETY: the value of an array, which is never freed.
        Some(bucket) => unsafe { &mut *bucket }.take(now, OF_ALL),
        None => false,
    }
}

/// How often: `burst` at once, and one more after every `interval` (nanoseconds).
#[derive(Clone, Copy)]
struct Rate {
    burst: u64,
    interval: u64,
}

/// A token bucket. All zero, it is full.
#[derive(Clone, Copy)]
#[repr(C)]
struct Bucket {
    /// Until when tokens were handed out, in nanoseconds since boot.
    filled: u64,
    tokens: u64,
}

impl Bucket {
    /// One that has just been taken from for the first time.
    #[inline(always)]
    const fn new(now: u64, rate: Rate) -> Self {
        Self {
            filled: now,
            tokens: rate.burst - 1,
        }
    }

    #[inline(always)]
    fn take(&mut self, now: u64, rate: Rate) -> bool {
        let earned = now.saturating_sub(self.filled) / rate.interval;
        self.filled += earned * rate.interval;
        let tokens = self.tokens + earned;
        let tokens = if tokens > rate.burst {
            rate.burst
        } else {
            tokens
        };
        let taken = tokens > 0;
        self.tokens = tokens - u64::from(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_gives_its_burst_then_one_per_interval_and_never_saves_up_more() {
        const RATE: Rate = Rate {
            burst: 3,
            interval: 10,
        };
        let mut empty = Bucket {
            filled: 0,
            tokens: 0,
        };
        let mut fresh = Bucket::new(1_000, RATE);
        assert!(empty.take(1_000, RATE));
        for bucket in [&mut empty, &mut fresh] {
            let mut given = |now| bucket.take(now, RATE);
            assert_eq!([1_000; 3].map(&mut given), [true, true, false]);
            assert!(!given(1_009));
            assert!(given(1_010));
            assert!(!given(1_019));
            assert_eq!([1_500; 4].map(&mut given), [true, true, true, false]);
            // Time of another CPU, a little behind.
            assert!(!given(1_495));
        }
    }
}
