//! A frame of the matrix, what is known about it, and the list they are collected in.

use ipvlan_packet::{Arp, Nd};

use super::asker::Asker;

/// The message that the frame of a case carries, or was made from.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// ARP.
    Arp(Arp),
    /// Neighbour discovery.
    Nd(Nd),
}

impl Message {
    /// The frame without anything around it.
    #[must_use]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Arp(arp) => arp.frame(),
            Self::Nd(nd) => nd.frame(),
        }
    }
}

/// What was done to the frame of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Nothing.
    Plain,
    /// Cut off after so many bytes.
    Truncated(usize),
    /// Junk added up to so many bytes.
    Padded(usize),
    /// Tags added, outermost first: type and tag control information.
    Tagged(&'static [(u16, u16)]),
}

/// One frame to send.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// What people are shown.
    pub name: String,
    /// What it carries.
    pub message: Message,
    /// What was done to it.
    pub framing: Framing,
    /// Its bytes.
    pub frame: Vec<u8>,
    /// It is sent only when the agent knows what the frames before it have changed.
    pub settled: bool,
}

/// Collects cases and gives each an asker of its own.
#[derive(Debug, Default)]
pub(crate) struct Cases {
    list: Vec<Case>,
    settled: bool,
}

impl Cases {
    /// Adds a frame that carries what `make` makes for its asker.
    pub(crate) fn add(&mut self, name: impl Into<String>, make: impl FnOnce(&Asker) -> Message) {
        let asker = self.next_asker();
        let message = make(&asker);
        let frame = message.bytes();
        self.push(name.into(), message, Framing::Plain, frame);
    }

    /// The same with something done to it: `reshape` gets the frame and gives what is sent.
    pub(crate) fn add_framed(
        &mut self,
        name: impl Into<String>,
        framing: Framing,
        make: impl FnOnce(&Asker) -> Message,
        reshape: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) {
        let asker = self.next_asker();
        let message = make(&asker);
        let frame = reshape(message.bytes());
        self.push(name.into(), message, framing, frame);
    }

    /// What is added from here on is sent when the agent has noticed what became of the rest.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }

    /// The cases, in the order to send them in.
    #[must_use]
    pub(crate) fn into_list(self) -> Vec<Case> {
        self.list
    }

    fn next_asker(&self) -> Asker {
        Asker::new(u16::try_from(self.list.len()).unwrap_or(u16::MAX))
    }

    fn push(&mut self, name: String, message: Message, framing: Framing, frame: Vec<u8>) {
        self.list.push(Case {
            name,
            message,
            framing,
            frame,
            settled: self.settled,
        });
    }
}
