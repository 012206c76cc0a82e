//! The filters at a side of an interface, foreign ones included, in the order in which they run.
//!
//! They are read from the bytes of the answer: what others have set up may be newer than any library, and its place
//! matters all the same.

use std::{ffi::CStr, fmt, io};

use ipvlan_common::{Hook, programs};
use netlink_packet_route::RouteNetlinkMessage;

use super::filter::{self, HANDLES};
use crate::{
    netlink::{
        Request, Rtnl,
        attribute::{attributes, u32_at},
    },
    text::escaped,
};

/// `struct tcmsg`
const MESSAGE: usize = 20;
/// Attributes of `linux/rtnetlink.h`, `linux/pkt_cls.h`.
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_BPF_NAME: u16 = 7;
const TCA_MATCHALL_ACT: u16 = 2;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_GACT_PARMS: u16 = 2;
/// `action` of `struct tc_gact`.
const GACT_ACTION: usize = 8;
/// The first action of a filter.
const FIRST: u16 = 1;
/// Verdicts.
const UNSPEC: i32 = -1;
const PIPE: i32 = 3;

const ETH_P_ALL: u16 = 3;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86dd;

/// The priority of ours where nothing else asks for another: before what the kernel chooses, and not one that
/// scripts use, since two kinds of filters cannot share one.
const PRIORITY: u16 = 17;

/// A filter, or the row of a priority that stands for all of its filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) priority: u16,
    pub(super) handle: u32,
    /// The ethertype it is for, in the byte order of the host.
    protocol: u16,
    kind: String,
    /// The name of its program, if it is one.
    name: Option<String>,
    /// The verdict of a filter that matches everything.
    verdict: Option<i32>,
}

impl Entry {
    /// Whether this is a filter.
    pub(super) const fn is_filter(&self) -> bool {
        self.handle != 0
    }

    /// Whether this is a filter of ours.
    pub(super) fn is_ours(&self) -> bool {
        self.name.as_deref().is_some_and(filter::is_name_of_ours)
    }

    /// Whether this is a filter of ours for this hook: a qdisc of kind ingress has all filters on one side.
    pub(super) fn is_for(&self, hook: Hook) -> bool {
        let is_egress = |name: &str| name.starts_with(programs::PARENT_EGRESS);
        self.is_ours() && self.name.as_deref().is_some_and(is_egress) == (hook == Hook::Egress)
    }

    /// Whether it may keep frames from the program of ours at this hook: it is for them, and does not always pass
    /// them on.
    pub(super) fn concerns(&self, hook: Hook) -> bool {
        let sees = match self.protocol {
            ETH_P_ALL | ETH_P_ARP | ETH_P_IPV6 => true,
            // IP packets that are received are not ours to answer.
            ETH_P_IP => hook == Hook::Egress,
            _ => false,
        };
        sees && self.verdict != Some(UNSPEC)
    }

    /// Whether it certainly passes no frame on.
    pub(super) fn ends_the_chain(&self) -> bool {
        let ends = self
            .verdict
            .is_some_and(|verdict| verdict != UNSPEC && verdict != PIPE);
        ends && self.protocol == ETH_P_ALL
    }

    /// Whether a filter of ours can have the same priority.
    fn is_compatible(&self) -> bool {
        self.kind == "bpf" && self.protocol == ETH_P_ALL
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = escaped(self.kind.as_bytes());
        write!(formatter, "filter {kind} of pref {}", self.priority)?;
        match &self.name {
            Some(name) => write!(formatter, " ({})", escaped(name.as_bytes())),
            None => Ok(()),
        }
    }
}

/// Returns the filters at one side of an interface of the current netns, in the order in which they run; none
/// without a qdisc for them. Filters of other chains run only where one of these sends frames there.
pub(super) fn entries(ifindex: u32, hook: Hook) -> io::Result<Vec<Entry>> {
    let mut request = filter::message(ifindex);
    request.header.parent = filter::side(hook);
    let request = RouteNetlinkMessage::GetTrafficFilter(request);
    let dump = Rtnl::new()?.dump(Request::own(filter::DUMP), &request, |row| Ok(parse(row)));
    match dump {
        Err(error) if matches!(error.errno(), Some(libc::ENODEV | libc::EINVAL)) => Ok(Vec::new()),
        dump => Ok(dump?),
    }
}

/// Reads an `RTM_NEWTFILTER`; none if it is of another chain than the first.
fn parse(message: &[u8]) -> Option<Entry> {
    // family, ifindex, handle, parent, info
    let (handle, info) = (u32_at(message, 8)?, u32_at(message, 16)?);
    let mut entry = Entry {
        priority: u16::try_from(info >> 16).ok()?,
        protocol: u16::from_be(u16::try_from(info & 0xffff).ok()?),
        handle,
        ..Entry::default()
    };
    let options = message.get(MESSAGE..)?;
    if let Some(chain) = attribute(options, TCA_CHAIN)
        && chain.iter().any(|&byte| byte != 0)
    {
        return None;
    }
    entry.kind = attribute(options, TCA_KIND)
        .and_then(text)
        .unwrap_or_default();
    if let Some(options) = attribute(options, TCA_OPTIONS) {
        match entry.kind.as_str() {
            "bpf" => entry.name = attribute(options, TCA_BPF_NAME).and_then(text),
            "matchall" => entry.verdict = verdict(options),
            _ => {}
        }
    }
    Some(entry)
}

/// Returns the verdict of a `matchall` filter with one action, `gact`.
fn verdict(options: &[u8]) -> Option<i32> {
    let actions = attribute(options, TCA_MATCHALL_ACT)?;
    if attribute(actions, FIRST + 1).is_some() {
        return None;
    }
    let action = attribute(actions, FIRST)?;
    if attribute(action, TCA_ACT_KIND).and_then(text)? != "gact" {
        return None;
    }
    let parameters = attribute(attribute(action, TCA_ACT_OPTIONS)?, TCA_GACT_PARMS)?;
    let verdict = parameters.get(GACT_ACTION..GACT_ACTION + 4)?;
    verdict.try_into().ok().map(i32::from_ne_bytes)
}

/// Returns the value of the first attribute of this type.
fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut readable = attributes(bytes).map_while(Result::ok);
    readable.find_map(|(found, value)| (found == kind).then_some(value))
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = CStr::from_bytes_until_nul(bytes).ok()?;
    Some(text.to_string_lossy().into_owned())
}

/// Returns the priority with which a filter of ours runs before all of these that may keep frames from it; none if
/// there is none. A new filter of a priority runs before those that have it (`cls_bpf_change`).
pub(super) fn first(others: &[&Entry], hook: Hook) -> Option<u16> {
    let in_the_way = others
        .iter()
        .filter(|entry| entry.is_filter() && entry.concerns(hook))
        .map(|entry| entry.priority)
        .min();
    let is_free = |priority: &u16| others.iter().all(|entry| entry.priority != *priority);
    let below = in_the_way.map_or(PRIORITY, |priority| PRIORITY.min(priority - 1));
    let free = (1..=below).rev().find(is_free);
    free.or_else(|| {
        let limit = in_the_way.unwrap_or(PRIORITY);
        let can_share = |priority: &u16| {
            others
                .iter()
                .filter(|entry| entry.priority == *priority)
                .all(|entry| entry.is_compatible())
        };
        (1..=limit).rev().find(can_share)
    })
}

/// Returns the priority with which a filter of ours runs after all of these; 0 leaves it to the kernel.
pub(super) fn last(others: &[&Entry]) -> u16 {
    let highest = others.iter().map(|entry| entry.priority).max();
    highest.map_or(0, |priority| priority.checked_add(1).unwrap_or_default())
}

/// Returns the lowest priority that no filter has.
pub(super) fn lowest_free(others: &[&Entry]) -> u16 {
    (1..=u16::MAX)
        .find(|priority| others.iter().all(|entry| entry.priority != *priority))
        .unwrap_or_default()
}

/// Returns a handle that no filter of this priority has.
pub(super) fn handle(entries: &[Entry], priority: u16) -> u32 {
    let is_free = |handle: &u32| {
        let mut taken = entries.iter();
        !taken.any(|entry| (entry.priority, entry.handle) == (priority, *handle))
    };
    HANDLES.into_iter().find(is_free).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests;
