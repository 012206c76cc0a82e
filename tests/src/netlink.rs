//! The few netlink requests that are made too often, or timed too closely, to start `ip` for.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkFlags, LinkMessage},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::net::if_::if_nametoindex;

/// A connection to the netns it was opened in, wherever it is used from.
#[derive(Debug)]
pub struct Netlink(Socket);

impl Netlink {
    /// Connects to the current netns.
    pub fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE).context("cannot open a netlink socket")?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Brings the device `index` up.
    pub fn set_up(&self, index: u32) -> Result<()> {
        self.set_link(index, |link| {
            link.header.flags = LinkFlags::Up;
            link.header.change_mask = LinkFlags::Up;
        })
    }

    /// Makes the transmit queue of the device `index` so long. Nothing depends on that, and the kernel
    /// tells everybody.
    pub fn set_queue_length(&self, index: u32, length: u32) -> Result<()> {
        self.set_link(index, |link| {
            link.attributes = vec![LinkAttribute::TxQueueLen(length)];
        })
    }

    fn set_link(&self, index: u32, set: impl FnOnce(&mut LinkMessage)) -> Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        set(&mut link);
        self.request(RouteNetlinkMessage::SetLink(link), NLM_F_ACK)
            .with_context(|| format!("cannot change device {index}"))
            .map(drop)
    }

    /// Adds `address` with this length of its prefix to `device` of the current netns; comes back when the kernel has it.
    pub fn add_address(&self, device: &str, address: Ipv4Addr, length: u8) -> Result<()> {
        let message = address_message(interface(device)?, address, length);
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.request(RouteNetlinkMessage::NewAddress(message), flags)
            .with_context(|| format!("cannot add {address} to {device}"))
            .map(drop)
    }

    /// Adds every one of `addresses`/32 to the device `index` of the netns this is connected to, or takes
    /// them away; many at once, which is all that the kernel's own time does not hide.
    pub fn change_addresses(
        &self,
        change: AddressChange,
        index: u32,
        addresses: &[Ipv4Addr],
    ) -> Result<()> {
        for batch in addresses.chunks(BATCH) {
            let mut bytes = Vec::new();
            for (place, &address) in batch.iter().enumerate() {
                let message = address_message(index, address, 32);
                let (message, flags) = match change {
                    AddressChange::Add => (
                        RouteNetlinkMessage::NewAddress(message),
                        NLM_F_CREATE | NLM_F_EXCL,
                    ),
                    AddressChange::Delete => (RouteNetlinkMessage::DelAddress(message), 0),
                };
                let is_last = place + 1 == batch.len();
                let ack = if is_last { NLM_F_ACK } else { 0 };
                bytes.extend(serialized(message, flags | ack));
            }
            self.0.send(&bytes, 0)?;
            // Whatever fails is told, asked for or not; the last is told anyway.
            self.answers()
                .with_context(|| format!("{change:?} of {} addresses", batch.len()))?;
        }
        Ok(())
    }

    /// Reads all addresses of the netns this is connected to; gives how many there are.
    pub fn dump_addresses(&self) -> Result<usize> {
        let all = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let rows = self.request(all, NLM_F_DUMP);
        Ok(rows.context("cannot list addresses")?.len())
    }

    /// Forgets every neighbour the kernel has learnt.
    pub fn flush_neighbours(&self) -> Result<()> {
        use NeighbourState::{Noarp, Permanent};
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut known = self.neighbours(family)?;
            known.retain(|known| !matches!(known.header.state, Permanent | Noarp));
            for neighbour in known {
                // The kernel may have dropped it by itself meanwhile.
                let _gone = self.request(RouteNetlinkMessage::DelNeighbour(neighbour), NLM_F_ACK);
            }
        }
        Ok(())
    }

    /// The hardware address that `address` is known to have on `device` of the current netns.
    pub fn neighbour(&self, device: &str, address: IpAddr) -> Result<Option<Vec<u8>>> {
        let index = interface(device)?;
        let (family, address) = match address {
            IpAddr::V4(v4) => (AddressFamily::Inet, NeighbourAddress::Inet(v4)),
            IpAddr::V6(v6) => (AddressFamily::Inet6, NeighbourAddress::Inet6(v6)),
        };
        let address = NeighbourAttribute::Destination(address);
        let known = self.neighbours(family)?.into_iter().find(|neighbour| {
            neighbour.header.ifindex == index && neighbour.attributes.contains(&address)
        });
        let mut attributes = known.into_iter().flat_map(|known| known.attributes);
        Ok(attributes.find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(mac) => Some(mac),
            _ => None,
        }))
    }

    fn neighbours(&self, family: AddressFamily) -> Result<Vec<NeighbourMessage>> {
        let mut all = NeighbourMessage::default();
        all.header.family = family;
        let known = self.request(RouteNetlinkMessage::GetNeighbour(all), NLM_F_DUMP);
        let known = known.context("cannot list neighbours")?.into_iter();
        let neighbours = known.filter_map(|known| match known {
            RouteNetlinkMessage::NewNeighbour(neighbour) => Some(neighbour),
            _ => None,
        });
        Ok(neighbours.collect())
    }

    /// Sends one request and collects what comes back until the kernel says that it is done.
    fn request(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        self.0.send(&serialized(message, flags), 0)?;
        self.answers()
    }

    fn answers(&self) -> Result<Vec<RouteNetlinkMessage>> {
        let mut answers = Vec::new();
        loop {
            let (bytes, _) = self.0.recv_from_full()?;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)?;
                let length = usize::try_from(answer.header.length)?.next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => answers.push(message),
                    NetlinkPayload::Error(error) => {
                        return match error.code {
                            None => Ok(answers),
                            Some(_) => Err(error.to_io()).context("netlink"),
                        };
                    }
                    NetlinkPayload::Done(_) => return Ok(answers),
                    _ => {}
                }
            }
        }
    }
}

/// What becomes of addresses.
#[derive(Clone, Copy, Debug)]
pub enum AddressChange {
    /// They are added.
    Add,
    /// They are taken away.
    Delete,
}

/// How many requests are made at once.
const BATCH: usize = 50;

fn interface(device: &str) -> Result<u32> {
    if_nametoindex(device).with_context(|| format!("no interface {device} here"))
}

fn address_message(index: u32, address: Ipv4Addr, length: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = length;
    message.header.index = index;
    let address = IpAddr::V4(address);
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
    ];
    message
}

fn serialized(message: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    bytes
}
