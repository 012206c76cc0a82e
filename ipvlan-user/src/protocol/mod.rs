//! The agent's interface: what a client asks for, and what it gets.
//!
//! Data only: the agent fills it, `runtime` carries it over a socket by the methods of [`varlink`], the commands
//! render it. `ipvlan status --json` prints a [`Status`], with the answers of all agents.
//!
//! Words and field names are stable within a [`SCHEMA`]. Fields and words are added to it; a field that an
//! older agent does not have gets its default, and a word that an older client does not know is
//! [`Word::Other`] to it.

mod capture;
mod conflict;
mod documents;
mod explain;
mod monitor;
mod netns;
mod parent;
mod status;
mod top;
pub mod varlink;
mod words;

pub use self::{
    capture::{CaptureParameters, CaptureReply, Frame},
    conflict::{Conflict, Event, Rival},
    documents::{Children, Counter, CountersDocument, Line, Reloaded, ReloadedAgent, ShownChild},
    explain::{
        AddressOwner, AppliedRule, Explained, Explanation, MapEntry, Question, Sender, TestedFrame,
    },
    monitor::{MonitorEvent, MonitorParameters, MonitorReply, NoTopic, SyncEvent},
    netns::{Container, Netns},
    parent::{
        Address, Child, ChildCounters, Counters, DatapathState, EventTotals, LinkStats, Parent,
        Program,
    },
    status::{Agent, ExceededQuota, Limits, Sources, Status, SyncStats, Unanswered, Unserved},
    top::{LinkRates, Rates, Top, TopAgent, TopChild, TopParent},
    words::{
        Action, AddressState, AnsweredBy, ChildState, ConflictKind, Delivery, EventKind, Flag,
        FrameKind, Hook, Mechanism, Mode, OwnerKind, ParentState, QuotaKind, Runtime, SyncKind,
        Topic, Verdict, Word,
    },
};

/// Version of these structures.
pub const SCHEMA: u32 = 1;

/// Reason of an address for which the address map has no entry left.
pub const MAP_FULL: &str = "map_full";

#[cfg(test)]
mod tests;
