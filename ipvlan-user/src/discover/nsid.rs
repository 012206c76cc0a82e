//! The numbers our netns gives to others: ask for one, give one, list all.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_route::{
    RouteNetlinkMessage,
    nsid::{NsidAttribute, NsidMessage},
};

use super::nsid_row::decode_nsid;
use crate::netlink::{NetlinkError, Request, Rtnl};

/// The nsids of the netns of processes, for a thread of its own: it has its own socket.
#[derive(Debug)]
pub struct ProcessNsids(Rtnl);

impl ProcessNsids {
    /// Opens a socket in the netns of the calling thread.
    ///
    /// # Errors
    ///
    /// If there is no socket to be had.
    pub fn new() -> Result<Self, NetlinkError> {
        Rtnl::new().map(Self)
    }

    /// Returns the nsid of the netns of a process; none if there is no such process, its netns has no nsid, or the
    /// request fails.
    pub fn of(&mut self, pid: i32) -> Option<i32> {
        nsid_of(&mut self.0, Handle::Pid(pid)).ok()?
    }
}

/// How a netns is pointed at before it has an nsid.
#[derive(Clone, Copy, Debug)]
pub(super) enum Handle<'fd> {
    /// An open file of it.
    Fd(BorrowedFd<'fd>),
    /// A process that lives in it.
    Pid(i32),
}

impl Handle<'_> {
    fn attribute(self) -> NsidAttribute {
        match self {
            Self::Fd(fd) => NsidAttribute::Fd(fd.as_raw_fd().cast_unsigned()),
            Self::Pid(pid) => NsidAttribute::Pid(pid.cast_unsigned()),
        }
    }
}

/// The nsid of a netns; none if it has not been given one, or is gone.
pub(super) fn nsid_of(rtnl: &mut Rtnl, netns: Handle<'_>) -> Result<Option<i32>, NetlinkError> {
    let message = RouteNetlinkMessage::GetNsId(message([netns.attribute()]));
    let answer = rtnl.ask(Request::own("RTM_GETNSID"), &message, decode_nsid);
    Ok(unless_gone(answer)?.flatten())
}

/// Whether there is still a netns with this nsid.
pub(super) fn exists(rtnl: &mut Rtnl, nsid: i32) -> Result<bool, NetlinkError> {
    let message = RouteNetlinkMessage::GetNsId(message([NsidAttribute::Id(nsid)]));
    let answer = rtnl.ask(Request::own("RTM_GETNSID"), &message, decode_nsid);
    Ok(unless_gone(answer)?.is_some())
}

/// Gives a netns the next free nsid; none if it is gone.
pub(super) fn assign(rtnl: &mut Rtnl, netns: Handle<'_>) -> Result<Option<i32>, NetlinkError> {
    let message = RouteNetlinkMessage::NewNsId(message([netns.attribute(), NsidAttribute::Id(-1)]));
    let answer = rtnl.ask(Request::own("RTM_NEWNSID"), &message, |_| Ok(None::<()>));
    match answer {
        // Another process was faster.
        Err(error) if error.errno() == Some(libc::EEXIST) => {}
        answer => drop(unless_gone(answer)?),
    }
    nsid_of(rtnl, netns)
}

/// All nsids of our netns.
pub(super) fn all(rtnl: &mut Rtnl) -> Result<Vec<i32>, NetlinkError> {
    let message = RouteNetlinkMessage::GetNsId(message([]));
    rtnl.dump(Request::own("RTM_GETNSID"), &message, decode_nsid)
}

fn message<const N: usize>(attributes: [NsidAttribute; N]) -> NsidMessage {
    let mut message = NsidMessage::default();
    message.attributes = attributes.into();
    message
}

/// `ENOENT`: no netns has this nsid. `ESRCH`: no such process.
fn unless_gone<T>(answer: Result<T, NetlinkError>) -> Result<Option<T>, NetlinkError> {
    match answer {
        Err(error) if matches!(error.errno(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        answer => answer.map(Some),
    }
}
