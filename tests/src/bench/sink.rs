//! Where the frames whose way is measured are counted and end.

use std::{
    net::{IpAddr, UdpSocket},
    os::fd::AsFd as _,
};

use anyhow::{Context, Result};

use super::source::{PAYLOAD, PORT, frame_length};
use crate::{
    bpf::{Attached, Counter, Hook, Program},
    netns::Netns,
};

/// The length of the UDP header, which a filter of a socket sees too.
const UDP_HEADER: usize = 8;

/// Where packets to an address end.
#[derive(Clone, Copy)]
pub(super) enum Sink<'a> {
    /// At the ingress hook of a device, before everything else there.
    Device {
        netns: &'a Netns,
        device: &'a str,
        to: IpAddr,
    },
    /// At the socket of a process, which never gets them: its filter drops them.
    Socket { netns: &'a Netns, to: IpAddr },
}

/// Counts and drops until it is dropped.
pub(super) enum Open {
    Device { _attached: Attached },
    Socket { _socket: UdpSocket },
}

impl Sink<'_> {
    /// The address that packets are for.
    pub(super) fn to(self) -> IpAddr {
        match self {
            Self::Device { to, .. } | Self::Socket { to, .. } => to,
        }
    }

    /// Begins to count.
    pub(super) fn open(self) -> Result<(Open, Counter)> {
        match self {
            Self::Device { netns, device, to } => {
                let (program, counter) = Program::count(Hook::Tc, frame_length(to))?;
                let attached = netns.run(|| program.attach(device))?;
                let open = Open::Device {
                    _attached: attached,
                };
                Ok((open, counter))
            }
            Self::Socket { netns, to } => {
                let (filter, counter) = Program::filter(UDP_HEADER + PAYLOAD)?;
                let socket = netns.run(|| {
                    UdpSocket::bind((to, PORT)).with_context(|| format!("cannot listen on {to}"))
                })?;
                filter.attach_to_socket(socket.as_fd())?;
                Ok((Open::Socket { _socket: socket }, counter))
            }
        }
    }
}
