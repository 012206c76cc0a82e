//! Netlink messages of a kernel, and what can make them faulty.

use std::{collections::BTreeSet, io, net::IpAddr};

use netlink_packet_core::{Emitable, NLM_F_DUMP_INTR, NLMSG_ERROR};
use netlink_packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressMessage},
    link::{
        InfoData, InfoIpVlan, InfoKind, IpVlanFlags, IpVlanMode, LinkAttribute, LinkInfo,
        LinkMessage,
    },
    nsid::{NsidAttribute, NsidMessage},
};

pub(super) const HEADER: usize = 16;
/// The nsid of our own netns.
pub(super) const OWN: i32 = 0;
pub(super) const PARENT: u32 = 2;

/// A link of a netns.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) ifindex: u32,
    pub(super) name: Vec<u8>,
    pub(super) is_child: bool,
    pub(super) addresses: BTreeSet<IpAddr>,
}

/// What happens to an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// A byte is another.
    Flip { at: u16, by: u8 },
    /// A datagram ends early.
    Cut { at: u16 },
    /// A datagram is missing.
    Lose { datagram: u8 },
    /// A datagram arrives twice.
    Repeat { datagram: u8 },
    /// A datagram has the flag of an interrupted dump.
    Interrupt { datagram: u8 },
    /// The kernel ends the answer with an error.
    Error { datagram: u8, errno: u8 },
    /// A datagram is longer than any buffer.
    Overrun { datagram: u8 },
    /// Receiving fails.
    Fail { datagram: u8, errno: u8 },
}

impl Fault {
    /// Any three bytes are a fault.
    pub(super) fn new(kind: u8, first: u8, second: u8) -> Self {
        let at = u16::from_be_bytes([first, second]);
        let datagram = first;
        let errno = second.max(1);
        match kind % 8 {
            0 => Self::Flip {
                at: at / 8,
                by: 1 << (at % 8),
            },
            1 => Self::Cut { at },
            2 => Self::Lose { datagram },
            3 => Self::Repeat { datagram },
            4 => Self::Interrupt { datagram },
            5 => Self::Error { datagram, errno },
            6 => Self::Overrun { datagram },
            _ => Self::Fail { datagram, errno },
        }
    }
}

pub(super) fn spoil(datagrams: &mut Vec<io::Result<Vec<u8>>>, fault: Fault, sequence: u32) {
    let at = |datagram: u8| usize::from(datagram) % datagrams.len();
    match fault {
        Fault::Flip { at, .. } | Fault::Cut { at } => {
            let total: usize = datagrams.iter().flatten().map(Vec::len).sum();
            let mut at = usize::from(at) % total.max(1);
            for datagram in datagrams.iter_mut().flatten() {
                if at >= datagram.len() {
                    at -= datagram.len();
                    continue;
                }
                match fault {
                    Fault::Flip { by, .. } => datagram[at] ^= by,
                    _ => datagram.truncate(at),
                }
                break;
            }
        }
        Fault::Lose { datagram } => drop(datagrams.remove(at(datagram))),
        Fault::Repeat { datagram } => {
            let place = at(datagram);
            let again = datagrams[place]
                .as_ref()
                .map(Vec::clone)
                .unwrap_or_default();
            datagrams.insert(place, Ok(again));
        }
        Fault::Interrupt { datagram } => {
            let place = at(datagram);
            if let Ok(datagram) = &mut datagrams[place] {
                datagram[6] |= NLM_F_DUMP_INTR.to_ne_bytes()[0];
            }
        }
        Fault::Error { datagram, errno } => {
            let place = at(datagram);
            datagrams.truncate(place);
            datagrams.push(Ok(error(errno.into(), sequence)));
        }
        // The receiver says how long it is.
        Fault::Overrun { datagram } => {
            let place = at(datagram);
            datagrams[place] = Ok(vec![0; 512 * 1024]);
        }
        Fault::Fail { datagram, errno } => {
            let place = at(datagram);
            datagrams[place] = Err(io::Error::from_raw_os_error(errno.into()));
        }
    }
}

pub(super) fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + payload.len()).unwrap_or_default();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(super) fn error(errno: i32, sequence: u32) -> Vec<u8> {
    let mut payload = (-errno).to_ne_bytes().to_vec();
    payload.extend([0; 16]);
    message(NLMSG_ERROR, 0, sequence, &payload)
}

fn emitted(message: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

pub(super) fn nsid_row(nsid: i32) -> Vec<u8> {
    let mut message = NsidMessage::default();
    message.attributes = vec![NsidAttribute::Id(nsid)];
    emitted(&message)
}

pub(super) fn link_row(row: &Row) -> Vec<u8> {
    let mut message = LinkMessage::default();
    message.header.index = row.ifindex;
    if row.is_child {
        message.attributes = vec![
            LinkAttribute::Link(PARENT),
            LinkAttribute::LinkNetNsId(OWN),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::IpVlan),
                LinkInfo::Data(InfoData::IpVlan(vec![
                    InfoIpVlan::Mode(IpVlanMode::L2),
                    InfoIpVlan::Flags(IpVlanFlags::empty()),
                ])),
            ]),
        ];
    }
    let mut bytes = emitted(&message);
    // A name is bytes: no String has all of them.
    let length = u16::try_from(4 + row.name.len() + 1).unwrap_or_default();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(libc::IFLA_IFNAME.to_ne_bytes());
    bytes.extend(&row.name);
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(super) fn address_rows(row: &Row) -> impl Iterator<Item = Vec<u8>> {
    row.addresses.iter().map(|&address| {
        let mut message = AddressMessage::default();
        message.header.family = if address.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        message.header.index = row.ifindex;
        message.attributes = vec![AddressAttribute::Address(address)];
        emitted(&message)
    })
}
