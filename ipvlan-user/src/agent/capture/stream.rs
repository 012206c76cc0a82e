//! Where captured frames go, and which of them are events.

use std::collections::BTreeSet;

use ipvlan_common::{Reason, ReasonClass};

use crate::{
    decode::{Protocol, protocol},
    protocol::{Frame, MonitorEvent, Topic},
    runtime::Feed,
};

/// Reasons of frames that are about neither a child nor the host: a LAN has many.
const UNCONCERNED: &[Reason] = &[
    Reason::NotOurs,
    Reason::ForeignDropped,
    Reason::NotRequest,
    Reason::Advertisement,
    Reason::OtherMac,
    Reason::Tagged,
    Reason::TargetMulticast,
];

/// Reasons to pass a frame on that refuse nothing: what it asks for or brings gets to its destination.
const ORDINARY: &[Reason] = &[
    Reason::HostAddress,
    Reason::HostElsewhere,
    Reason::GatewayAddress,
    Reason::DhcpBroadcast,
    Reason::DhcpNoClientId,
    Reason::Gratuitous,
    Reason::Probe,
    Reason::ReceivedHere,
    Reason::OwnSender,
    Reason::EventSuppressed,
    Reason::ProbedEventSuppressed,
];

/// Where the frames of one client go.
#[derive(Clone)]
pub(in crate::agent) enum Stream {
    /// All frames.
    Frames(Feed<Frame>),
    /// Frames that are events about these topics.
    Events(Feed<MonitorEvent>, BTreeSet<Topic>),
}

/// What a frame is to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A frame.
    Frame,
    /// An event.
    Event(Topic),
}

impl Stream {
    /// Returns what a frame with this reason is to the client; none if the client does not want it.
    pub(super) fn topic(&self, reason: Reason, frame: &[u8]) -> Option<Part> {
        match self {
            Self::Frames(_) => Some(Part::Frame),
            Self::Events(_, wanted) => topics(reason, frame)
                .into_iter()
                .flatten()
                .find(|topic| wanted.contains(topic))
                .map(Part::Event),
        }
    }

    /// Sends a frame.
    pub(super) fn send(&self, part: Part, frame: Frame) {
        match (self, part) {
            (Self::Frames(feed), _) => feed.send(frame),
            (Self::Events(feed, _), Part::Event(topic)) => feed.send(MonitorEvent {
                topic: topic.into(),
                time_ns: frame.time_ns,
                parent: Some(frame.parent.clone()),
                frame: Some(frame),
                conflict: None,
                sync: None,
            }),
            (Self::Events(..), Part::Frame) => {}
        }
    }

    /// Counts frames that were lost before they came here.
    pub(super) fn count_dropped(&self, frames: u64) {
        match self {
            Self::Frames(feed) => feed.count_dropped(frames),
            Self::Events(feed, _) => feed.count_dropped(frames),
        }
    }

    /// Returns whether the queue is full.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Frames(feed) => feed.is_full(),
            Self::Events(feed, _) => feed.is_full(),
        }
    }

    /// Returns whether the client has gone.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Frames(feed) => feed.is_closed(),
            Self::Events(feed, _) => feed.is_closed(),
        }
    }
}

/// Returns the topics that a frame with this reason is about, the closest one first.
fn topics(reason: Reason, frame: &[u8]) -> [Option<Topic>; 2] {
    if UNCONCERNED.contains(&reason) {
        return [None; 2];
    }
    let protocol = match protocol(frame) {
        Some(Protocol::Arp) => Some(Topic::Arp),
        Some(Protocol::NeighbourDiscovery) => Some(Topic::Ndp),
        None => None,
    };
    let is_refused = reason.class() == ReasonClass::Passed && !ORDINARY.contains(&reason);
    [protocol, is_refused.then_some(Topic::Guard)]
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use ipvlan_common::REASONS;

    use super::*;

    /// An ARP request as far as its `EtherType` is concerned, and an IPv4 packet.
    fn frame(ether_type: [u8; 2]) -> Vec<u8> {
        let mut frame = vec![0; 42];
        frame[12..14].copy_from_slice(&ether_type);
        frame[14..20].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        frame
    }

    /// A new reason needs a decision: its row here.
    #[test]
    fn every_reason_has_its_topics() {
        let mut rows = String::new();
        for &reason in REASONS {
            let words = |ether_type| {
                let topics = topics(reason, &frame(ether_type));
                let words = topics.into_iter().flatten().map(Topic::word);
                words.collect::<Vec<_>>().join(",")
            };
            let (arp, ip) = (words([8, 6]), words([8, 0]));
            writeln!(rows, "{}: {arp}; IP: {ip}", reason.word()).unwrap();
        }
        insta::assert_snapshot!(rows);
    }
}
