//! The frames that attached programs are run on.
//!
//! No frame of a test run is taken for a claim or a probe of a station, which the programs report: at ingress the sender is
//! an address that is not in the map as one that stations can be in conflict about, and not the unspecified address.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipvlan_common::{AddressEntry, Hook, Owner, Reason, ReasonClass};

use super::super::{serving::Serving, status_view};
use crate::{
    attach::{AttachError, HookInfo, TestVerdict},
    facts::Snapshot,
    lan::frame::{self, colons},
    maps::diff::Addresses,
    model::HookPoint,
    protocol::{FrameKind, Sender, TestedFrame, Verdict},
};

/// MACs of a station that does not exist: locally administered (IEEE 802). The second one serves if the parent has the
/// first.
const STATIONS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0xee, 1], [2, 0, 0, 0, 0xee, 2]];

/// How often a frame is run again if others were counted at the same time.
const TRIES: u32 = 3;

/// Where a frame comes from, with its source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A station on the LAN whose address has no owner on this host.
    Lan,
    /// A station with this address.
    Station(IpAddr),
    /// The host, with this address.
    Host(IpAddr),
    /// A child, with this address, whose frame leaves the parent.
    Child(IpAddr),
}

/// The outcome of a frame.
pub(super) struct Test {
    kind: FrameKind,
    origin: Origin,
    sender: IpAddr,
    hook: HookInfo,
    pub(super) verdict: Verdict,
    pub(super) reason: Option<Reason>,
    mac: Option<[u8; 6]>,
}

impl Origin {
    /// Returns the origins of a sender.
    pub(super) fn of(
        from: Option<Sender>,
        serving: &Serving,
        snapshot: &Snapshot,
        target: IpAddr,
    ) -> Vec<Self> {
        let host = || host_address(serving, snapshot, target).map(Self::Host);
        match from {
            None => [Some(Self::Lan), host()].into_iter().flatten().collect(),
            Some(Sender::Lan) => vec![Self::Lan],
            Some(Sender::Host) => host().into_iter().collect(),
            Some(Sender::Address(address)) => {
                let entry = serving.installed.addresses().get(&address);
                vec![match entry.and_then(AddressEntry::owner) {
                    Some(Owner::Host) => Self::Host(address),
                    Some(Owner::Child) => Self::Child(address),
                    Some(Owner::Gateway) | None => Self::Station(address),
                }]
            }
        }
    }

    const fn is_from_wire(self) -> bool {
        matches!(self, Self::Lan | Self::Station(_))
    }

    /// Returns the source address of frames for `target`; none if every candidate has an owner.
    fn sender(self, target: IpAddr, owned: &Addresses) -> Option<IpAddr> {
        match self {
            Self::Lan => unowned(target, owned),
            Self::Station(address) | Self::Host(address) | Self::Child(address) => Some(address),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Lan | Self::Station(_) => "lan",
            Self::Host(_) => "host",
            Self::Child(_) => "child",
        }
    }
}

/// Returns the address that the host sends to `target` from: one on the parent if there is one.
fn host_address(serving: &Serving, snapshot: &Snapshot, target: IpAddr) -> Option<IpAddr> {
    let is_global = |address: IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    };
    let owned = serving.installed.addresses();
    let addresses = snapshot.host.addresses.iter();
    addresses
        .filter(|it| it.address.is_ipv4() == target.is_ipv4() && it.address != target)
        .filter(|it| owned.get(&it.address).and_then(AddressEntry::owner) == Some(Owner::Host))
        .max_by_key(|it| {
            let is_on_parent = it.ifindex == serving.link.ifindex;
            (is_on_parent, is_global(it.address) == is_global(target))
        })
        .map(|it| it.address)
}

/// Returns an address of a block for documentation (RFC 5737, RFC 3849) that is not `target` and has no owner.
fn unowned(target: IpAddr, owned: &Addresses) -> Option<IpAddr> {
    let mut candidates = (1..=u16::MAX).map(|number| match target {
        IpAddr::V4(_) => {
            let [high, low] = number.to_be_bytes();
            // The three blocks in turn, then 198.18.0.0/15, which is for benchmarks (RFC 2544).
            let address = match high {
                0 => [192, 0, 2, low],
                1 => [198, 51, 100, low],
                2 => [203, 0, 113, low],
                _ => [198, 18, high, low],
            };
            IpAddr::from(Ipv4Addr::from(address))
        }
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, number).into(),
    });
    let is_free = |address: &IpAddr| *address != target && !owned.contains_key(address);
    candidates.find(is_free)
}

/// Runs the programs on a request and a packet for `target`, in the order in which they see them.
pub(super) fn run(
    serving: &Serving,
    origin: &Origin,
    target: IpAddr,
    entry: Option<&AddressEntry>,
) -> Result<Vec<Test>, AttachError> {
    let own = serving.link.mac.unwrap_or_default();
    let station = STATIONS.into_iter().find(|mac| *mac != own);
    let station = station.unwrap_or_default();
    let Some(sender) = origin.sender(target, serving.installed.addresses()) else {
        return Ok(Vec::new());
    };
    let is_from_wire = origin.is_from_wire();
    let is_routed = entry.is_some_and(AddressEntry::routed);
    // A packet to the parent's own MAC, or to that of a gateway if only the operator's list makes it a child's.
    let macs = match (is_from_wire, is_routed) {
        (true, _) => [station, own],
        (false, true) => [own, station],
        (false, false) => [own, own],
    };
    let request = frame::request(macs[0], sender, target);
    let packet = frame::packet(macs, [sender, target]);
    let kind = if target.is_ipv4() {
        FrameKind::Arp
    } else {
        FrameKind::Nd
    };
    let (of_request, of_packet): (&[Hook], &[Hook]) = if is_from_wire {
        (&[Hook::Xdp, Hook::Ingress], &[Hook::Ingress])
    } else {
        (&[Hook::Egress], &[Hook::Egress])
    };
    let frames = [
        (kind, request, of_request),
        (FrameKind::Ip, packet, of_packet),
    ];
    let mut tests = Vec::new();
    for (kind, frame, hooks) in frames {
        let Some(frame) = frame else { continue };
        for &hook in hooks {
            let Some(test) = one(serving, *origin, sender, kind, &frame, hook, entry)? else {
                continue;
            };
            let is_passed = test.verdict == Verdict::Passed;
            tests.push(test);
            if !is_passed {
                break;
            }
        }
    }
    Ok(tests)
}

/// Runs the program at a hook on a frame; none if there is no program.
fn one(
    serving: &Serving,
    origin: Origin,
    sender: IpAddr,
    kind: FrameKind,
    frame: &[u8],
    hook: Hook,
    entry: Option<&AddressEntry>,
) -> Result<Option<Test>, AttachError> {
    let maps = serving.installed.maps();
    let point = HookPoint::Parent(hook);
    let mut candidates: Option<Vec<Reason>> = None;
    let mut last = None;
    for _ in 0..TRIES {
        let before = maps.counters(point)?;
        let Some(run) = serving.datapath.test_run(hook, frame)? else {
            return Ok(None);
        };
        let after = maps.counters(point)?;
        let mac = frame::replied_mac(&run.frame).filter(|_| run.verdict == TestVerdict::Redirected);
        let verdict = match run.verdict {
            TestVerdict::Passed => Verdict::Passed,
            TestVerdict::Dropped => Verdict::Dropped,
            TestVerdict::Redirected if kind != FrameKind::Ip => Verdict::Answered,
            TestVerdict::Redirected if hook == Hook::Egress => Verdict::Hairpinned,
            TestVerdict::Redirected => Verdict::Redirected,
        };
        let counted = counted(&before, &after, verdict);
        let left = match candidates {
            Some(before) => before
                .into_iter()
                .filter(|of| counted.contains(of))
                .collect(),
            None => counted,
        };
        let reason = single(&left, entry);
        let is_known = reason.is_some() || left.is_empty();
        candidates = Some(left);
        last = Some(Test {
            kind,
            origin,
            sender,
            hook: run.hook,
            verdict,
            reason,
            mac,
        });
        if is_known {
            break;
        }
    }
    Ok(last)
}

/// Returns the reasons that were counted between two readings, of those that have this verdict.
fn counted(
    before: &BTreeMap<Reason, u64>,
    after: &BTreeMap<Reason, u64>,
    verdict: Verdict,
) -> Vec<Reason> {
    let has_verdict = |reason: Reason| match reason.class() {
        ReasonClass::Answered => verdict == Verdict::Answered,
        ReasonClass::Hairpinned => verdict == Verdict::Hairpinned,
        ReasonClass::Redirected => verdict == Verdict::Redirected,
        ReasonClass::Dropped => verdict == Verdict::Dropped,
        ReasonClass::Delegated | ReasonClass::Passed => verdict == Verdict::Passed,
    };
    let of = |counters: &BTreeMap<Reason, u64>, reason| counters.get(&reason).copied();
    let reasons = after.iter().filter(|&(&reason, &frames)| {
        frames > of(before, reason).unwrap_or(0) && has_verdict(reason)
    });
    reasons.map(|(&reason, _)| reason).collect()
}

/// Returns the reason of a frame among those that were counted while the program ran: the only one, or that of the entry.
fn single(counted: &[Reason], entry: Option<&AddressEntry>) -> Option<Reason> {
    match counted {
        [reason] => Some(*reason),
        _ => entry
            .and_then(AddressEntry::refusal)
            .filter(|reason| counted.contains(reason)),
    }
}

impl Test {
    /// Returns whether the frame is an ARP request or a solicitation.
    pub(super) fn is_request(&self) -> bool {
        self.kind != FrameKind::Ip
    }

    /// Returns it as a client gets it.
    pub(super) fn into_frame(self) -> TestedFrame {
        TestedFrame {
            kind: self.kind.into(),
            from: self.origin.word().to_owned(),
            sender: self.sender.to_string(),
            hook: status_view::hook(self.hook.point).into(),
            program: self.hook.program.to_owned(),
            program_id: self.hook.program_id,
            verdict: self.verdict.into(),
            reason: self.reason.map(|reason| reason.word().to_owned()),
            mac: self.mac.map(colons),
        }
    }
}

#[cfg(test)]
mod tests;
