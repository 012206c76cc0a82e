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
    /// Adds an ARP frame with what `make` makes for its asker.
    pub(crate) fn arp(&mut self, name: impl Into<String>, make: impl FnOnce(&Asker) -> Arp) {
        let whole = |frame| frame;
        self.framed(
            name,
            Framing::Plain,
            |asker| Message::Arp(make(asker)),
            whole,
        );
    }

    /// Adds a frame of neighbour discovery with what `make` makes for its asker.
    pub(crate) fn nd(&mut self, name: impl Into<String>, make: impl FnOnce(&Asker) -> Nd) {
        let whole = |frame| frame;
        self.framed(
            name,
            Framing::Plain,
            |asker| Message::Nd(make(asker)),
            whole,
        );
    }

    /// Adds a message with something done to its frame: `reshape` gets the frame and gives what is sent.
    pub(crate) fn framed(
        &mut self,
        name: impl Into<String>,
        framing: Framing,
        make: impl FnOnce(&Asker) -> Message,
        reshape: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) {
        let number = u16::try_from(self.list.len()).unwrap_or(u16::MAX);
        let message = make(&Asker::new(number));
        self.list.push(Case {
            name: name.into(),
            frame: reshape(message.bytes()),
            message,
            framing,
            settled: self.settled,
        });
    }

    /// What is added from here on is sent when the agent has noticed what became of the rest.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }

    /// The cases, in the order to send them in.
    pub(crate) fn into_list(self) -> Vec<Case> {
        self.list
    }
}
