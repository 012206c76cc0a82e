//! What is to become of a frame.

use ipvlan_common::{AddressEntry, Event, Hook, Reason};

use super::super::program::{Act, ONE_BUFFER, Program};

/// What is to become of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub act: Act,
    /// `None`: not looked at, so nothing is counted.
    pub reason: Option<Reason>,
    /// Child that it is counted for.
    pub slot: Option<u32>,
    pub frame: Vec<u8>,
    /// Whether `skb->mark` is zeroed.
    pub unmarked: bool,
    /// The event for the agent, unless the rate of events suppresses it.
    pub event: Option<Event>,
}

impl Expected {
    /// Returns what comes of a decision without an event: the verdict that a reason has, and the child it is counted for.
    pub fn new(reason: Option<Reason>, slot: Option<u32>, frame: Vec<u8>) -> Self {
        use Reason::{
            ArpAnswered, ForeignDropped, Hairpinned, LeftToDriver, LeftToKernel, NdAnswered,
            Redirected, Sibling,
        };
        let uncounted = matches!(reason, Some(LeftToDriver | LeftToKernel | Sibling));
        Self {
            act: match reason {
                Some(ArpAnswered | NdAnswered | Hairpinned | Redirected) => Act::Send,
                Some(ForeignDropped) => Act::Drop,
                _ => Act::Pass,
            },
            reason,
            slot: slot.filter(|slot| !uncounted && *slot != AddressEntry::NO_SLOT),
            frame,
            unmarked: reason == Some(Hairpinned),
            event: None,
        }
    }

    /// The same, unless `program` would answer `frame` at the XDP hook and the frame can be of several buffers: then
    /// it is left to TC.
    pub fn of_one_buffer(self, program: Program, frame: &[u8]) -> Self {
        if program.hook() != Hook::Xdp || self.act != Act::Send || frame.len() <= ONE_BUFFER {
            return self;
        }
        Self {
            act: Act::Pass,
            reason: Some(Reason::NotWritable),
            slot: None,
            frame: frame.to_vec(),
            ..self
        }
    }
}
