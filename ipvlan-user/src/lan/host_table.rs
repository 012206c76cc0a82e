//! The host's own neighbour table.
//!
//! The host receives no announcement that leaves its own parent. So what an announcement does to the tables of
//! stations is done here to the entries of the parent, when the answered addresses or the parent's MAC change:
//! - An entry without a MAC yet (`NUD_INCOMPLETE`) is resolved at once: the kernel would ask again after a second.
//! - An entry with the MAC of another station is probed first: the kernel asks that MAC by unicast, which our
//!   programs pass on. If it does not answer within half a second, the child has moved here and the entry
//!   gets the MAC of the parent. A live station keeps its entry, whichever child takes its address.
//! - An entry with the MAC of the parent, for an address that no child is answered for any more, is removed.
//!
//! Entries that a person or another program made are not changed: permanent ones, and those with a protocol or with a
//! flag that says so (`NTF_EXT_LEARNED`, `NTF_EXT_MANAGED`).

mod plan;

use std::{net::IpAddr, time::Instant};

use netlink_packet_core::NLM_F_REPLACE;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
    },
};

use self::plan::{Change, Entry, Facts, Plan, State};
use super::frame::Mac;
use crate::netlink::{
    NetlinkError, Request, Rtnl,
    attribute::{Malformed, after, attributes, ip_value, u16_at, u32_at, u32_value},
};

/// Length of `struct ndmsg`.
const HEADER: usize = 12;
/// Offset of its flags.
const FLAGS: usize = 10;
/// `NTF_PROXY`, `NTF_EXT_LEARNED` and `NTF_STICKY`: no entry that the kernel learned by itself.
const MANAGED: u8 = 0x08 | 0x10 | 0x40;
/// `NTF_ROUTER`
const ROUTER: u8 = 0x80;
/// `NDA_PROTOCOL`
const NDA_PROTOCOL: u16 = 12;
/// `NDA_FLAGS_EXT`
const NDA_FLAGS_EXT: u16 = 15;

/// The neighbour entries of one parent.
#[derive(Debug)]
pub struct HostTable {
    rtnl: Rtnl,
    ifindex: u32,
    plan: Plan,
}

impl HostTable {
    /// Opens the entries of the interface with this ifindex in the netns of the calling thread.
    ///
    /// # Errors
    ///
    /// Fails if no netlink socket can be opened.
    pub fn open(ifindex: u32) -> Result<Self, NetlinkError> {
        Ok(Self {
            rtnl: Rtnl::new()?,
            ifindex,
            plan: Plan::default(),
        })
    }

    /// Returns when [`Self::update`] is to be called although nothing has changed.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.plan.next_due()
    }

    /// Forgets what is being probed: the parent has no MAC.
    pub fn reset(&mut self) {
        self.plan = Plan::default();
    }

    /// Makes the entries follow what is answered. `mac` is the MAC of the parent; `answered` returns whether an address
    /// is a router's, and none if it is no answered address of a child; `answers_for_all` returns whether a MAC is
    /// known to answer for every address. Returns how many entries were changed.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses. An entry that is gone meanwhile is no error.
    pub fn update(
        &mut self,
        now: Instant,
        mac: Mac,
        answered: &dyn Fn(IpAddr) -> Option<bool>,
        answers_for_all: &dyn Fn(Mac) -> bool,
    ) -> Result<usize, NetlinkError> {
        // What is not read must not be due for ever, nor count as silent.
        let entries = match self.entries() {
            Ok(entries) => entries,
            Err(error) => {
                self.plan = Plan::default();
                return Err(error);
            }
        };
        let facts = Facts {
            mac,
            answered,
            answers_for_all,
        };
        let mut changed = 0;
        for change in self.plan.changes(now, &entries, &facts) {
            match self.apply(change, mac) {
                Ok(()) => changed += 1,
                Err(error) if error.errno() == Some(libc::ENOENT) => {}
                Err(error) => {
                    // What was not probed must not count as silent.
                    self.plan = Plan::default();
                    return Err(error);
                }
            }
        }
        Ok(changed)
    }

    fn apply(&mut self, change: Change, mac: Mac) -> Result<(), NetlinkError> {
        let replaced = Request::own("change of a neighbour (RTM_NEWNEIGH)");
        match change {
            Change::Resolve(address, router) => {
                let mut entry = self.message(address, NeighbourState::Stale, router);
                entry
                    .attributes
                    .push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
                let message = RouteNetlinkMessage::NewNeighbour(entry);
                self.rtnl.change(replaced, &message, NLM_F_REPLACE)
            }
            // Without a MAC the entry keeps the one that it has.
            Change::Probe(address, router) => {
                let entry = self.message(address, NeighbourState::Probe, router);
                let message = RouteNetlinkMessage::NewNeighbour(entry);
                self.rtnl.change(replaced, &message, NLM_F_REPLACE)
            }
            Change::Remove(address) => {
                let entry = self.message(address, NeighbourState::None, false);
                let message = RouteNetlinkMessage::DelNeighbour(entry);
                let removed = Request::own("removal of a neighbour (RTM_DELNEIGH)");
                self.rtnl.change(removed, &message, 0)
            }
        }
    }

    fn message(&self, address: IpAddr, state: NeighbourState, router: bool) -> NeighbourMessage {
        let mut entry = NeighbourMessage::default();
        let (family, destination) = match address {
            IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
            IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
        };
        entry.header.family = family;
        entry.header.ifindex = self.ifindex;
        entry.header.state = state;
        if router && address.is_ipv6() {
            entry.header.flags = NeighbourFlags::Router;
        }
        entry
            .attributes
            .push(NeighbourAttribute::Destination(destination));
        entry
    }

    fn entries(&mut self) -> Result<Vec<Entry>, NetlinkError> {
        let mut message = NeighbourMessage::default();
        message
            .attributes
            .push(NeighbourAttribute::IfIndex(self.ifindex));
        let ifindex = self.ifindex;
        self.rtnl.dump(
            Request::own("dump of neighbours (RTM_GETNEIGH)"),
            &RouteNetlinkMessage::GetNeighbour(message),
            |payload| decode(payload, ifindex),
        )
    }
}

/// Returns the entry of an `RTM_NEWNEIGH` of this interface; none if the kernel did not learn it by itself.
fn decode(payload: &[u8], ifindex: u32) -> Result<Option<Entry>, Malformed> {
    let attribute_bytes = after(payload, HEADER)?;
    let flags = payload.get(FLAGS).copied().unwrap_or_default();
    let state = u16_at(payload, 8).and_then(state);
    let Some(state) = state.filter(|_| u32_at(payload, 4) == Some(ifindex) && flags & MANAGED == 0)
    else {
        return Ok(None);
    };
    let (mut address, mut mac) = (None, None);
    for attribute in attributes(attribute_bytes) {
        let (kind, value) = attribute?;
        match kind {
            libc::NDA_DST => address = Some(ip_value(value)?),
            libc::NDA_LLADDR => mac = Mac::try_from(value).ok(),
            NDA_PROTOCOL if value.iter().any(|&byte| byte != 0) => return Ok(None),
            NDA_FLAGS_EXT if u32_value(value)? != 0 => return Ok(None),
            _ => {}
        }
    }
    let has_mac = matches!(state, State::Probe | State::Valid);
    Ok(address.map(|address| Entry {
        address,
        state,
        mac: mac.filter(|_| has_mac),
        router: flags & ROUTER != 0,
    }))
}

/// Returns the state of an entry that the kernel learned; none of a permanent one.
const fn state(nud: u16) -> Option<State> {
    Some(match nud {
        0x01 => State::Incomplete,
        0x02 | 0x04 | 0x08 => State::Valid,
        0x10 => State::Probe,
        0x00 | 0x20 => State::Unresolved,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
