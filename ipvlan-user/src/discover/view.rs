//! What a command sees of network namespaces: links, addresses and routes, read once. Unlike a snapshot it gives no
//! netns an nsid: the netns of a child is entered, which takes `CAP_SYS_ADMIN`.

use std::{
    fs::File,
    io,
    net::IpAddr,
    os::fd::AsFd as _,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::AddressMessage,
    link::LinkMessage,
    route::{RouteAddress, RouteAttribute, RouteMessage},
};
use nix::sched::{CloneFlags, setns};

use super::{
    DiscoverError,
    address::decode_address,
    link::{LinkRow, decode_link},
    netns::{OWN, may_hold_child, open},
    nsid::{self, Handle},
    route::{RouteKind, RouteRow, decode_route},
    walk::{Found, Walk},
};
use crate::{
    facts::{Gateway, HostAddress, LinkName, Port, Xdp},
    netlink::{Limit, NetlinkError, Request, Rtnl},
};

/// Rows of each kind that are read of another netns.
const FOREIGN: usize = 1024;
/// Routes that are read of our own netns.
const ROUTES: usize = 65_536;

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkView {
    /// Its ifindex.
    pub ifindex: u32,
    /// Its name.
    pub name: LinkName,
    /// Its hardware type, `ARPHRD_*`.
    pub hardware: u16,
    /// Its MTU.
    pub mtu: u32,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Up and with carrier (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// Receives all multicast frames (`IFF_ALLMULTI`).
    pub all_multicast: bool,
    /// Its kind; none for hardware.
    pub kind: Option<String>,
    /// The ifindex of the bridge, bond, … it is a port of.
    pub master: Option<u32>,
    /// The kind of that.
    pub master_kind: Option<String>,
    /// `IFLA_LINK`, and the nsid of its netns in the numbering of this netns; none if it is the same netns.
    pub lower: Option<(u32, Option<i32>)>,
    /// Mode and flag of an ipvlan link.
    pub port: Option<Port>,
    /// The XDP programs attached to it.
    pub xdp: Vec<Xdp>,
}

/// A unicast route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteView {
    /// First address of its prefix.
    pub prefix: IpAddr,
    /// Length of its prefix.
    pub prefix_len: u8,
    /// The table it is in (254 is main).
    pub table: u32,
    /// Its next hops.
    pub gateways: Vec<Gateway>,
    /// The links it leaves by without a gateway.
    pub links: Vec<u32>,
    /// It leads to the host itself.
    pub local: bool,
}

impl RouteView {
    /// Returns the link it leaves by first, as far as the route has one.
    #[must_use]
    pub fn oif(&self) -> Option<u32> {
        let by_gateway = self.gateways.iter().find_map(|gateway| gateway.oif);
        self.links.first().copied().or(by_gateway)
    }
}

/// A netns at one moment.
#[derive(Clone, Debug, Default)]
pub struct NetnsView {
    /// Its inode.
    pub inode: u64,
    /// Its names: files it is bound to.
    pub names: Vec<String>,
    /// The lowest id of the processes that live in it.
    pub pid: Option<i32>,
    /// The nsid of the netns of the command there; none if it is that one, or has no nsid.
    pub host_nsid: Option<i32>,
    /// Its links.
    pub links: Vec<LinkView>,
    /// Their addresses.
    pub addresses: Vec<HostAddress>,
    /// Its unicast routes, of all tables.
    pub routes: Vec<RouteView>,
    /// It, if it is not the netns of the command.
    file: Option<Arc<File>>,
}

/// The netns beside our own.
#[derive(Debug, Default)]
pub struct Others {
    /// Those that hold more than the loopback.
    pub netnses: Vec<NetnsView>,
    /// How many could not be entered or read.
    pub hidden: usize,
}

impl NetnsView {
    /// Returns whether this is the netns of the command.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.file.is_none()
    }

    /// Runs `inside` in this netns, on a thread of its own.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_SYS_ADMIN`.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> io::Result<T> {
        match &self.file {
            None => Ok(inside()),
            Some(file) => entered(file, inside),
        }
    }
}

/// Reads the netns of this thread.
pub fn own() -> Result<NetnsView, DiscoverError> {
    let failed = |source| DiscoverError::File {
        path: OWN.into(),
        source,
    };
    let file = File::open(OWN).map_err(failed)?;
    let mut view = NetnsView {
        inode: super::netns::identity(&file).map_err(failed)?.inode,
        ..NetnsView::default()
    };
    let limit = Limit {
        rows: ROUTES,
        others: usize::MAX,
    };
    read(&mut view, Limit::NONE, limit)?;
    Ok(view)
}

/// Reads all other netns that hold more than the loopback, for at most this time. Those of the rest are counted as
/// hidden, as are those that this process may not enter.
pub fn others(own: &NetnsView, patience: Duration) -> Result<Others, DiscoverError> {
    let until = Instant::now() + patience;
    let failed = |source| DiscoverError::File {
        path: OWN.into(),
        source,
    };
    let host = File::open(OWN).map_err(failed)?;
    let walk = Walk::new()?;
    let mut others = Others {
        hidden: walk.opaque.len().min(1),
        ..Others::default()
    };
    for (identity, found) in walk.found {
        if identity.inode == own.inode || !found.pids.lowest().is_none_or(may_hold_child) {
            continue;
        }
        let Some(file) = open(identity, &found.paths) else {
            continue;
        };
        let Found { pids, names, .. } = found;
        let mut view = NetnsView {
            inode: identity.inode,
            names: names.into_iter().collect(),
            pid: pids.lowest(),
            file: Some(Arc::new(file)),
            ..NetnsView::default()
        };
        let in_time = Instant::now() < until;
        let is_read = in_time
            && view.file.clone().is_some_and(|file| {
                let read = entered(&file, || read_foreign(&mut view, &host));
                matches!(read, Ok(Ok(())))
            });
        if is_read {
            others.netnses.push(view);
        } else {
            others.hidden += 1;
        }
    }
    Ok(others)
}

fn read_foreign(view: &mut NetnsView, host: &File) -> Result<(), NetlinkError> {
    let limit = Limit {
        rows: FOREIGN,
        others: FOREIGN,
    };
    read(view, limit, limit)?;
    // A dump that meets a link of another netns gives that netns an nsid here.
    view.host_nsid = nsid::nsid_of(&mut Rtnl::new()?, Handle::Fd(host.as_fd()))?;
    Ok(())
}

/// Returns the route of this netns to an address; none if there is none.
pub fn route_to(address: IpAddr) -> io::Result<Option<RouteView>> {
    let mut message = RouteMessage::default();
    let (family, length, destination) = match address {
        IpAddr::V4(v4) => (AddressFamily::Inet, 32, RouteAddress::Inet(v4)),
        IpAddr::V6(v6) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(v6)),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = length;
    message
        .attributes
        .push(RouteAttribute::Destination(destination));
    let message = RouteNetlinkMessage::GetRoute(message);
    let request = Request::own("route to an address (RTM_GETROUTE)");
    let row = Rtnl::new()?.ask(request, &message, decode_route);
    match row {
        Err(error)
            if matches!(
                error.errno(),
                Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL)
            ) =>
        {
            Ok(None)
        }
        row => Ok(row?.map(route_view)),
    }
}

/// Runs `inside` in the netns of this file, on a thread that ends there.
fn entered<T: Send>(file: &File, inside: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let entering = scope.spawn(|| {
            setns(file, CloneFlags::CLONE_NEWNET)?;
            Ok(inside())
        });
        match entering.join() {
            Ok(returned) => returned,
            Err(_) => Err(io::Error::other("a thread in a netns panicked")),
        }
    })
}

/// Reads the netns of this thread. Rows beyond a limit are left out.
fn read(view: &mut NetnsView, limit: Limit, of_routes: Limit) -> Result<(), NetlinkError> {
    let mut rtnl = Rtnl::new()?;
    let links = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let request = Request::own("dump of links (RTM_GETLINK)");
    let (links, _) = rtnl.dump_some(request, &links, limit, |row| decode_link(row).map(Some))?;
    view.links = links.into_iter().map(link_view).collect();
    let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let request = Request::own("dump of addresses (RTM_GETADDR)");
    let (addresses, _) = rtnl.dump_some(request, &addresses, limit, decode_address)?;
    view.addresses = addresses.into_iter().map(HostAddress::from).collect();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        let message = RouteNetlinkMessage::GetRoute(message);
        let request = Request::own("dump of routes (RTM_GETROUTE)");
        let is_unicast = |row: &RouteRow| row.kind == RouteKind::Unicast;
        let (rows, _) = rtnl.dump_some(request, &message, of_routes, |row| {
            Ok(decode_route(row)?.filter(is_unicast))
        })?;
        view.routes.extend(rows.into_iter().map(route_view));
    }
    Ok(())
}

fn route_view(row: RouteRow) -> RouteView {
    RouteView {
        prefix: row.prefix,
        prefix_len: row.prefix_len,
        table: row.table,
        gateways: row.gateways,
        links: row.links,
        local: row.kind == RouteKind::Local,
    }
}

fn link_view(row: LinkRow) -> LinkView {
    LinkView {
        up: row.is_up(),
        carrier: row.has_carrier(),
        all_multicast: row.flags & libc::IFF_ALLMULTI.cast_unsigned() != 0,
        ifindex: row.ifindex,
        hardware: row.hardware,
        mtu: row.mtu,
        name: row.name,
        kind: row.kind,
        master: row.master,
        master_kind: row.master_kind,
        lower: row.lower.map(|lower| (lower, row.lower_nsid)),
        port: row.port.and_then(Result::ok),
        xdp: row.xdp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_netns_has_a_loopback_and_nothing_of_it_needs_a_privilege() {
        let view = own().unwrap();
        assert!(view.is_own() && view.inode != 0);
        let loopback = view.links.iter().find(|link| link.ifindex == 1).unwrap();
        assert_eq!(loopback.name.as_str(), "lo");
        assert_eq!(view.run(|| 7).unwrap(), 7);
    }

    #[test]
    fn a_route_leaves_by_its_link_or_by_that_of_its_gateway() {
        let mut route = RouteView {
            prefix: [10, 0, 0, 0].into(),
            prefix_len: 8,
            table: 254,
            gateways: vec![Gateway {
                address: [192, 0, 2, 1].into(),
                oif: Some(4),
            }],
            links: Vec::new(),
            local: false,
        };
        assert_eq!(route.oif(), Some(4));
        route.links.push(3);
        assert_eq!(route.oif(), Some(3));
        route.links.clear();
        route.gateways.clear();
        assert_eq!(route.oif(), None);
    }
}
