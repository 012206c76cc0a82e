//! The clsact qdisc of a parent, which TC filters hang on where the kernel has no TCX.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcHandle, TcMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use tracing::warn;

use super::AttachError;

/// `TC_H_CLSACT`, its ingress and its egress side (`linux/pkt_sched.h`).
const CLSACT: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0xfff1,
};
const SIDES: [TcHandle; 2] = [
    TcHandle {
        major: 0xffff,
        minor: 0xfff2,
    },
    TcHandle {
        major: 0xffff,
        minor: 0xfff3,
    },
];

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

    /// Takes over the one that is there, as if it had been added for us.
    pub(super) fn adopt(parent: &str, ifindex: u32) -> Self {
        Self {
            parent: parent.to_owned(),
            ifindex,
            added: true,
        }
    }

    /// Removes it if it was added for us and nobody else uses it.
    pub(super) fn remove_if_unused(mut self) -> Result<(), AttachError> {
        self.remove()
    }

    fn remove(&mut self) -> Result<(), AttachError> {
        if !self.added {
            return Ok(());
        }
        self.added = false;
        if self
            .has_filters()
            .map_err(|source| self.failed("read", source))?
        {
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

    fn has_filters(&self) -> io::Result<bool> {
        for side in SIDES {
            let mut request = self.message();
            request.header.parent = side;
            let mut found = false;
            let answer = exchange(
                RouteNetlinkMessage::GetTrafficFilter(request),
                NLM_F_DUMP,
                |message| {
                    found |= matches!(message, RouteNetlinkMessage::NewTrafficFilter(_));
                },
            );
            match answer {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(false),
                Err(error) => return Err(error),
            }
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn delete(&self) -> io::Result<()> {
        let mut request = self.message();
        request.header.parent = CLSACT;
        request.header.handle = TcHandle {
            major: 0xffff,
            minor: 0,
        };
        exchange(
            RouteNetlinkMessage::DelQueueDiscipline(request),
            NLM_F_ACK,
            |_| {},
        )
    }

    fn message(&self) -> TcMessage {
        let mut message = TcMessage::default();
        // The kernel's interface indexes are positive ints.
        message.header.index = i32::try_from(self.ifindex).unwrap_or(i32::MAX);
        message
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

/// Sends one request and hands every answer to `each`, until the kernel says that it is done.
fn exchange(
    message: RouteNetlinkMessage,
    flags: u16,
    mut each: impl FnMut(RouteNetlinkMessage),
) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | flags;
    request.finalize();
    let mut buffer = vec![0; request.buffer_len()];
    request.serialize(&mut buffer);
    socket.send(&buffer, 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => {
                    return match error.code {
                        None => Ok(()),
                        Some(_) => Err(error.to_io()),
                    };
                }
                NetlinkPayload::InnerMessage(inner) => each(inner),
                _ => {}
            }
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}
