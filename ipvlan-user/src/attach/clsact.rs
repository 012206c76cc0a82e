//! The clsact qdisc of a parent, which TC filters hang on where the kernel has no TCX.

use std::io;

use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcHandle},
};
use tracing::warn;

use super::{AttachError, filter};
use crate::netlink::{Request, Rtnl};

/// `TC_H_CLSACT` (`linux/pkt_sched.h`).
const CLSACT: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0xfff1,
};

/// The major number of the handle of both kinds.
const MAJOR: u16 = 0xffff;

/// What filters of received frames hang on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `clsact`, which has filters of sent frames as well.
    Clsact,
    /// `ingress`, which has none, and takes a filter for sent frames as one for received frames.
    Ingress,
}

/// Returns which of these qdiscs an interface of the current netns has; it can have one.
pub(super) fn kind(ifindex: u32) -> io::Result<Option<Kind>> {
    let message = filter::message(ifindex);
    let index = message.header.index;
    let request = RouteNetlinkMessage::GetQueueDiscipline(message);
    let name = Request::own("dump of qdiscs (RTM_GETQDISC)");
    let rows = Rtnl::new()?.dump_decoded(name, &request)?;
    let mut kinds = rows.into_iter().flatten().filter_map(|row| match row {
        RouteNetlinkMessage::NewQueueDiscipline(qdisc)
            if qdisc.header.index == index && qdisc.header.handle.major == MAJOR =>
        {
            qdisc
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    TcAttribute::Kind(kind) if kind == "clsact" => Some(Kind::Clsact),
                    TcAttribute::Kind(kind) if kind == "ingress" => Some(Kind::Ingress),
                    _ => None,
                })
        }
        _ => None,
    });
    Ok(kinds.next())
}

/// A clsact qdisc.
#[derive(Debug)]
pub(super) struct Qdisc {
    parent: String,
    ifindex: u32,
    /// Whether it was added for us, by this agent or by one that was killed.
    added: bool,
}

impl Qdisc {
    /// Adds it, unless it is there.
    pub(super) fn ensure(parent: &str, ifindex: u32) -> Result<Self, AttachError> {
        let qdisc = |added| Self {
            parent: parent.to_owned(),
            ifindex,
            added,
        };
        match aya::programs::tc::qdisc_add_clsact(parent) {
            Ok(()) => Ok(qdisc(true)),
            Err(aya::programs::tc::TcError::NetlinkError(error)) => match error.raw_os_error() {
                Some(libc::EEXIST) => Ok(qdisc(false)),
                Some(errno) => Err(qdisc(false).failed("add", io::Error::from_raw_os_error(errno))),
                None => Err(qdisc(false).failed("add", io::Error::other(error))),
            },
            Err(error) => Err(qdisc(false).failed("add", io::Error::other(error))),
        }
    }

    /// Adopts the one that is there, as if it had been added for us.
    pub(super) fn adopt(parent: &str, ifindex: u32) -> Self {
        Self {
            parent: parent.to_owned(),
            ifindex,
            added: true,
        }
    }

    /// Whether it was added for us.
    pub(super) const fn is_ours(&self) -> bool {
        self.added
    }

    /// Keeps it for the next agent that serves the parent.
    pub(super) fn keep(mut self) {
        self.added = false;
    }

    /// Removes it if it was added for us and no other filter uses it.
    pub(super) fn remove_if_unused(mut self) -> Result<(), AttachError> {
        self.remove()
    }

    fn remove(&mut self) -> Result<(), AttachError> {
        if !self.added {
            return Ok(());
        }
        self.added = false;
        if filter::any(self.ifindex).map_err(|source| self.failed("read", source))? {
            return Ok(());
        }
        match self.delete() {
            // Gone already, or with the parent.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENODEV | libc::ENOENT | libc::EINVAL)
                ) =>
            {
                Ok(())
            }
            result => result.map_err(|source| self.failed("remove", source)),
        }
    }

    fn delete(&self) -> io::Result<()> {
        let mut request = filter::message(self.ifindex);
        request.header.parent = CLSACT;
        request.header.handle = TcHandle {
            major: MAJOR,
            minor: 0,
        };
        let request = RouteNetlinkMessage::DelQueueDiscipline(request);
        let name = Request::own("removal of a qdisc (RTM_DELQDISC)");
        Ok(Rtnl::new()?.change(name, &request, 0)?)
    }

    fn failed(&self, action: &'static str, source: io::Error) -> AttachError {
        AttachError::Clsact {
            action,
            parent: self.parent.clone(),
            source,
        }
    }
}

/// An attachment that failed half-way leaves no qdisc behind.
impl Drop for Qdisc {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            warn!(parent = self.parent, %error, "left a clsact qdisc behind");
        }
    }
}

/// Removes our filters from an interface of the current netns that no agent serves, and the qdisc if it is ours and no
/// other filter uses it. Returns how many filters it removed.
pub fn remove_filters(name: &str, ifindex: u32, qdisc_is_ours: bool) -> Result<usize, AttachError> {
    let failed = |action| {
        move |source| AttachError::Clsact {
            action,
            parent: name.to_owned(),
            source,
        }
    };
    let filters = filter::ours(ifindex).map_err(failed("read"))?;
    for filter in &filters {
        filter.delete().map_err(failed("remove a filter of"))?;
    }
    if !filters.is_empty() && qdisc_is_ours {
        Qdisc::adopt(name, ifindex).remove_if_unused()?;
    }
    Ok(filters.len())
}
