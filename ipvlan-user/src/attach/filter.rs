//! The filters of a clsact qdisc: what is there, which of it is ours.
//!
//! A filter cannot be pinned, and outlives the process that added it. Ours are known by the names of
//! our programs. They are added here, not by aya, which gives them names only where it could find out
//! that programs may have some, and that takes `CAP_PERFMON`.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::programs::ProgramFd;
use ipvlan_common::{Hook, programs};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcBpfFlags, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};

use super::{
    chain,
    clsact::{self, Kind},
    order::{Order, Place},
};
use crate::netlink::{Request, Rtnl};

/// `TC_H_CLSACT` with its two sides (`linux/pkt_sched.h`).
const INGRESS: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0xfff2,
};
const EGRESS: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0xfff3,
};
const SIDES: [(Hook, TcHandle); 2] = [(Hook::Ingress, INGRESS), (Hook::Egress, EGRESS)];

/// Names that our filters can have.
const NAMES: [&str; 6] = [
    programs::PARENT_INGRESS,
    programs::PARENT_INGRESS_DEMUX,
    programs::PARENT_EGRESS,
    programs::PARENT_EGRESS_ROUTED,
    programs::PARENT_EGRESS_ISOLATED,
    programs::PARENT_EGRESS_ROUTED_ISOLATED,
];

/// Handles of our filters: the kernel and most scripts begin at 1, and `tc filter replace` of that handle must not
/// replace ours. The second is for a filter that takes the place of the first.
pub(super) const HANDLES: [u32; 2] = [0x6970, 0x6971];

/// Requests, for messages.
pub(super) const DUMP: &str = "dump of filters (RTM_GETTFILTER)";
const ADDITION: Request = Request::own("addition of a filter (RTM_NEWTFILTER)");

/// Whether a filter with a program of this name is ours.
pub(super) fn is_name_of_ours(name: &str) -> bool {
    NAMES.contains(&name)
}

/// A filter of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    ifindex: u32,
    pub(super) hook: Hook,
    priority: u16,
    handle: TcHandle,
}

impl Filter {
    /// Adds one that runs the program of this name, before or after those that are there.
    pub(super) fn add(
        program: &ProgramFd,
        name: &str,
        ifindex: u32,
        hook: Hook,
        order: Order,
    ) -> io::Result<Self> {
        let entries = chain::entries(ifindex, hook)?;
        let others: Vec<_> = entries.iter().filter(|entry| !entry.is_ours()).collect();
        let priority = match order {
            Order::First => {
                chain::first(&others, hook).unwrap_or_else(|| chain::lowest_free(&others))
            }
            Order::After => chain::last(&others),
        };
        // The kernel chooses a priority or handle that is 0, and returns it.
        let asked = Self {
            ifindex,
            hook,
            priority,
            handle: chain::handle(&entries, priority).into(),
        };
        let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO;
        let rows = Rtnl::new()?.ask_decoded(ADDITION, &asked.run(program, name), flags)?;
        rows.iter()
            .find_map(|row| match row {
                RouteNetlinkMessage::NewTrafficFilter(message) => {
                    Some(Self::of(ifindex, hook, message))
                }
                _ => None,
            })
            .ok_or_else(|| io::Error::other("the kernel did not return the handle of the filter"))
    }

    /// Puts another program in the place of the one it runs. No frame sees none or both
    /// (`cls_bpf_change`: `list_replace_rcu`).
    pub(super) fn replace(&self, program: &ProgramFd, name: &str) -> io::Result<()> {
        Ok(Rtnl::new()?.change(ADDITION, &self.run(program, name), NLM_F_CREATE)?)
    }

    fn run(&self, program: &ProgramFd, name: &str) -> RouteNetlinkMessage {
        let mut request = self.message();
        request.attributes.push(TcAttribute::Options(vec![
            TcOption::Bpf(TcFilterBpfOption::ProgFd(
                program.as_fd().as_raw_fd().cast_unsigned(),
            )),
            TcOption::Bpf(TcFilterBpfOption::ProgName(name.to_owned())),
            TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
        ]));
        RouteNetlinkMessage::NewTrafficFilter(request)
    }

    /// Returns its place among the programs at its hook.
    pub(super) fn place(&self) -> io::Result<Place> {
        Place::of_filter(self.priority, self.handle.into(), self.ifindex, self.hook)
    }

    fn of(ifindex: u32, hook: Hook, message: &TcMessage) -> Self {
        Self {
            ifindex,
            hook,
            priority: u16::try_from(message.header.info >> 16).unwrap_or_default(),
            handle: message.header.handle,
        }
    }

    fn message(&self) -> TcMessage {
        let mut message = message(self.ifindex);
        message.header.parent = side(self.hook);
        message.header.handle = self.handle;
        message.header.info = u32::from(self.priority) << 16 | u32::from(ETH_P_ALL.to_be());
        let kind = TcAttribute::Kind("bpf".to_owned());
        message.attributes.push(kind);
        message
    }

    /// Removes it. One that is gone already is a success.
    pub(super) fn delete(&self) -> io::Result<()> {
        let request = RouteNetlinkMessage::DelTrafficFilter(self.message());
        let name = Request::own("removal of a filter (RTM_DELTFILTER)");
        match Rtnl::new()?.change(name, &request, 0) {
            // ENODEV: with its interface; EINVAL: with the qdisc.
            Err(error)
                if matches!(
                    error.errno(),
                    Some(libc::ENOENT | libc::ENODEV | libc::EINVAL)
                ) =>
            {
                Ok(())
            }
            result => Ok(result?),
        }
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
                    if is_name_of_ours(name))
            })
        });
        // The row that stands for all filters of a priority has no handle.
        if is_ours && message.header.handle != TcHandle::UNSPEC {
            filters.push(Filter::of(ifindex, hook, &message));
        }
    })?;
    Ok(filters)
}

/// Returns whether an interface has any filter, of whichever process.
pub(super) fn any(ifindex: u32) -> io::Result<bool> {
    let mut found = false;
    let unreadable = dump(ifindex, |_, _| found = true)?;
    Ok(found || unreadable > 0)
}

/// Returns how many filters could not be read.
fn dump(ifindex: u32, mut each: impl FnMut(Hook, TcMessage)) -> io::Result<usize> {
    let mut unreadable = 0;
    let mut rtnl = Rtnl::new()?;
    // A qdisc of kind ingress has one side, whichever it is asked for.
    let sides = match clsact::kind(ifindex)? {
        Some(Kind::Ingress) => &SIDES[..1],
        _ => &SIDES[..],
    };
    for &(hook, side) in sides {
        let mut request = message(ifindex);
        request.header.parent = side;
        let request = RouteNetlinkMessage::GetTrafficFilter(request);
        let rows = match rtnl.dump_decoded(Request::own(DUMP), &request) {
            Err(error) if error.errno() == Some(libc::ENODEV) => return Ok(0),
            rows => rows?,
        };
        for row in rows {
            match row {
                Some(RouteNetlinkMessage::NewTrafficFilter(message)) => each(hook, message),
                Some(_) => {}
                None => unreadable += 1,
            }
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

pub(super) const fn side(hook: Hook) -> TcHandle {
    match hook {
        Hook::Egress => EGRESS,
        Hook::Ingress | Hook::Xdp => INGRESS,
    }
}
