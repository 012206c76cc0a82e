//! The filters of a clsact qdisc: what is there, which of it is ours.
//!
//! A filter cannot be pinned, and outlives the process that added it. Ours are known by the names of
//! our programs.

use std::io;

use aya::programs::{
    ProgramError, SchedClassifier, TcAttachType,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
};
use ipvlan_common::{Hook, programs};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{self, TcAttribute, TcFilterBpfOption, TcMessage, TcOption},
};
use nix::net::if_::if_indextoname;

use super::rtnetlink::exchange;

/// `TC_H_CLSACT` with its two sides (`linux/pkt_sched.h`).
const INGRESS: tc::TcHandle = tc::TcHandle {
    major: 0xffff,
    minor: 0xfff2,
};
const EGRESS: tc::TcHandle = tc::TcHandle {
    major: 0xffff,
    minor: 0xfff3,
};
const SIDES: [(Hook, tc::TcHandle); 2] = [(Hook::Ingress, INGRESS), (Hook::Egress, EGRESS)];

/// Names that our filters can have.
const NAMES: [&str; 4] = [
    programs::PARENT_INGRESS,
    programs::PARENT_INGRESS_DEMUX,
    programs::PARENT_EGRESS,
    programs::PARENT_EGRESS_ROUTED,
];

/// A filter of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    ifindex: u32,
    pub(super) hook: Hook,
    priority: u16,
    handle: tc::TcHandle,
}

impl Filter {
    /// Adds one behind those that are there.
    pub(super) fn add(
        classifier: &mut SchedClassifier,
        ifindex: u32,
        hook: Hook,
    ) -> Result<Self, ProgramError> {
        let options = TcAttachOptions::Netlink(NlOptions::default());
        let id = classifier.attach_with_options(&name(ifindex)?, attach_type(hook), options)?;
        let link = classifier.take_link(id)?;
        let filter = Self {
            ifindex,
            hook,
            priority: link.priority()?,
            handle: from_aya(link.handle()?),
        };
        // Dropped, it would take the filter away; from here on that is for us to decide.
        std::mem::forget(link);
        Ok(filter)
    }

    /// Puts another program in the place of the one it runs. No frame sees none or both
    /// (`cls_bpf_change`: `list_replace_rcu`).
    pub(super) fn replace(&self, classifier: &mut SchedClassifier) -> Result<(), ProgramError> {
        let id = classifier.attach_to_link(self.link()?)?;
        // As above.
        std::mem::forget(classifier.take_link(id)?);
        Ok(())
    }

    /// Takes it away. One that is gone already is a success.
    pub(super) fn delete(&self) -> io::Result<()> {
        let mut request = message(self.ifindex);
        request.header.parent = side(self.hook);
        request.header.handle = self.handle;
        request.header.info = u32::from(self.priority) << 16 | u32::from(ETH_P_ALL.to_be());
        let kind = TcAttribute::Kind("bpf".to_owned());
        request.attributes.push(kind);
        let request = RouteNetlinkMessage::DelTrafficFilter(request);
        match exchange(request, NLM_F_ACK, |_| {}) {
            // ENODEV: with its interface; EINVAL: with the qdisc.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOENT | libc::ENODEV | libc::EINVAL)
                ) =>
            {
                Ok(())
            }
            result => result.map(drop),
        }
    }

    fn link(&self) -> Result<SchedClassifierLink, ProgramError> {
        let handle = TcHandle::new(self.handle.major, self.handle.minor);
        let hook = attach_type(self.hook);
        SchedClassifierLink::attached(&name(self.ifindex)?, hook, self.priority, handle, None)
            .map_err(ProgramError::IOError)
    }
}

const ETH_P_ALL: u16 = 3;

/// Our filters on an interface of the current netns; none if it has no clsact qdisc or is gone.
pub(super) fn ours(ifindex: u32) -> io::Result<Vec<Filter>> {
    let mut filters = Vec::new();
    dump(ifindex, |hook, message| {
        let is_ours = message.attributes.iter().any(|attribute| {
            let TcAttribute::Options(options) = attribute else {
                return false;
            };
            options.iter().any(|option| {
                matches!(option, TcOption::Bpf(TcFilterBpfOption::ProgName(name))
                    if NAMES.contains(&name.as_str()))
            })
        });
        // The row that stands for all filters of a priority has no handle.
        if is_ours && message.header.handle != tc::TcHandle::UNSPEC {
            filters.push(Filter {
                ifindex,
                hook,
                priority: u16::try_from(message.header.info >> 16).unwrap_or_default(),
                handle: message.header.handle,
            });
        }
    })?;
    Ok(filters)
}

/// Whether anybody has a filter there.
pub(super) fn any(ifindex: u32) -> io::Result<bool> {
    let mut found = false;
    let unreadable = dump(ifindex, |_, _| found = true)?;
    Ok(found || unreadable > 0)
}

/// Returns how many filters could not be read.
fn dump(ifindex: u32, mut each: impl FnMut(Hook, TcMessage)) -> io::Result<usize> {
    let mut unreadable = 0;
    for (hook, side) in SIDES {
        let mut request = message(ifindex);
        request.header.parent = side;
        let request = RouteNetlinkMessage::GetTrafficFilter(request);
        let answer = exchange(request, NLM_F_DUMP, |message| {
            if let RouteNetlinkMessage::NewTrafficFilter(message) = message {
                each(hook, message);
            }
        });
        match answer {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(0),
            answer => unreadable += answer?,
        }
    }
    Ok(unreadable)
}

/// A message about an interface.
pub(super) fn message(ifindex: u32) -> TcMessage {
    let mut message = TcMessage::default();
    // The kernel's interface indexes are positive ints.
    message.header.index = i32::try_from(ifindex).unwrap_or(i32::MAX);
    message
}

/// The name it has now: aya takes names.
pub(super) fn name(ifindex: u32) -> Result<String, ProgramError> {
    let name = if_indextoname(ifindex).map_err(|errno| ProgramError::IOError(errno.into()))?;
    Ok(name.to_string_lossy().into_owned())
}

pub(super) const fn attach_type(hook: Hook) -> TcAttachType {
    match hook {
        Hook::Egress => TcAttachType::Egress,
        Hook::Ingress | Hook::Xdp => TcAttachType::Ingress,
    }
}

const fn side(hook: Hook) -> tc::TcHandle {
    match hook {
        Hook::Egress => EGRESS,
        Hook::Ingress | Hook::Xdp => INGRESS,
    }
}

fn from_aya(handle: TcHandle) -> tc::TcHandle {
    let handle = u32::from(handle).to_be_bytes();
    tc::TcHandle {
        major: u16::from_be_bytes([handle[0], handle[1]]),
        minor: u16::from_be_bytes([handle[2], handle[3]]),
    }
}
