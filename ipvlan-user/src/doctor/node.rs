//! What the checks are about: the parents, their children, and the agents that serve them. Read once.

use std::{collections::BTreeSet, net::IpAddr, path::Path, time::Duration};

use crate::{
    discover::{
        DiscoverError,
        view::{self, LinkView, NetnsView, Others, RouteView},
    },
    facts::{Mode, PortFlag},
    protocol::{self, Agent, Word},
    text::netns_label,
};

/// For reading the netns of children.
const PATIENCE: Duration = Duration::from_secs(4);
/// The kinds of link that are children.
const KINDS: [&str; 2] = ["ipvlan", "ipvtap"];

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The netns of the command.
    pub(super) own: NetnsView,
    /// The other netns, as far as they could be read.
    pub(super) others: Others,
    /// The agents that answered, of whichever netns.
    pub(super) agents: Vec<Agent>,
    /// The parents that are examined.
    pub(super) parents: Vec<Parent>,
    /// Interfaces that the user named and that are not there.
    pub(super) missing: Vec<String>,
}

/// A parent.
#[derive(Clone, Debug, Default)]
pub(super) struct Parent {
    /// Its link.
    pub(super) link: LinkView,
    /// What the agent that serves it returned, and the pid of that.
    pub(super) served: Option<(u32, protocol::Parent)>,
    /// Its children.
    pub(super) children: Vec<Child>,
}

/// A child.
#[derive(Clone, Debug, Default)]
pub(super) struct Child {
    /// Its name, escaped.
    pub(super) name: String,
    /// Its ifindex.
    pub(super) ifindex: u32,
    /// The short name of its netns.
    pub(super) netns: String,
    /// The lowest id of the processes that live there, if that netns has no name for `ip`.
    pub(super) pid: Option<i32>,
    /// The index of its netns in [`Node::others`]; none if that could not be read, or is our own.
    pub(super) inside: Option<usize>,
    /// It is in the netns of the command.
    pub(super) own: bool,
    /// Mode of its port.
    pub(super) mode: Option<Mode>,
    /// Isolation flag of its port.
    pub(super) flag: Option<PortFlag>,
    /// Administratively up.
    pub(super) up: bool,
    /// Its addresses with the lengths of their prefixes, without those that are link-local in IPv6.
    pub(super) addresses: Vec<(IpAddr, u8)>,
    /// The routes of its netns that leave by it; none if they could not be read.
    pub(super) routes: Option<Vec<RouteView>>,
    /// What the agent returned of it.
    pub(super) served: Option<protocol::Child>,
}

impl Parent {
    /// Returns its name for people.
    pub(super) fn name(&self) -> &str {
        self.link.name.as_str()
    }

    /// Returns the mode of its children.
    pub(super) fn mode(&self) -> Option<Mode> {
        self.children.iter().find_map(|child| child.mode)
    }

    /// Returns the isolation flag of its children.
    pub(super) fn flag(&self) -> PortFlag {
        let flag = self.children.iter().find_map(|child| child.flag);
        flag.unwrap_or_default()
    }

    /// Returns the addresses of all of its children that are up.
    pub(super) fn child_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let up = self.children.iter().filter(|child| child.up);
        up.flat_map(|child| child.addresses.iter().map(|(address, _)| *address))
    }
}

impl Child {
    /// Returns what it is called for people: `NETNS/NAME`.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.netns, self.name)
    }
}

impl Node {
    /// Reads the netns of this thread, those of children, and what the agents returned about them. Without
    /// `interfaces`, the parents are those that an agent serves and those that have children.
    pub(super) fn read(interfaces: &[String], agents: Vec<Agent>) -> Result<Self, DiscoverError> {
        let own = view::own()?;
        let others = view::others(&own, PATIENCE)?;
        Ok(Self::of(interfaces, agents, own, others))
    }

    /// Puts together what was read.
    pub(super) fn of(
        interfaces: &[String],
        agents: Vec<Agent>,
        own: NetnsView,
        others: Others,
    ) -> Self {
        let mut node = Self {
            own,
            others,
            agents,
            ..Self::default()
        };
        let is_named = |link: &LinkView| {
            let name = link.name.as_bytes();
            interfaces.iter().any(|named| named.as_bytes() == name)
        };
        let found = |name: &&String| {
            let mut links = node.own.links.iter();
            links.any(|link| link.name.as_bytes() == name.as_bytes())
        };
        let waiting = node.served().map(|(_, parent)| parent.name.clone());
        let waiting: Vec<String> = waiting.filter(|_| interfaces.is_empty()).collect();
        node.missing = interfaces
            .iter()
            .chain(&waiting)
            .filter(|name| !found(name))
            .cloned()
            .collect();
        let known = if interfaces.is_empty() {
            node.known_parents()
        } else {
            BTreeSet::new()
        };
        node.parents = node
            .own
            .links
            .iter()
            .filter(|link| known.contains(&link.ifindex) || is_named(link))
            .map(|link| node.parent(link))
            .collect();
        node
    }

    /// Returns the name of a link of our own netns.
    pub(super) fn link_name(&self, ifindex: u32) -> String {
        let mut links = self.own.links.iter();
        let link = links.find(|link| link.ifindex == ifindex);
        link.map_or_else(
            || format!("ifindex {ifindex}"),
            |link| link.name.as_str().to_owned(),
        )
    }

    /// Returns the addresses of a link of our own netns, without those that are link-local in IPv6.
    pub(super) fn addresses_of(&self, ifindex: u32) -> impl Iterator<Item = (IpAddr, u8)> {
        let addresses = self.own.addresses.iter();
        addresses
            .filter(move |address| address.ifindex == ifindex && !is_link_local(address.address))
            .map(|address| (address.address, address.prefix_len))
    }

    /// Returns the netns of a child; none if it could not be read.
    pub(super) fn netns_of(&self, child: &Child) -> Option<&NetnsView> {
        if child.own {
            return Some(&self.own);
        }
        self.others.netnses.get(child.inside?)
    }

    /// Returns the parents of our netns that an agent serves, by its answer.
    fn served(&self) -> impl Iterator<Item = (u32, &protocol::Parent)> {
        let here = self.agents.iter();
        let here = here.filter(|agent| agent.netns == self.own.inode);
        here.flat_map(|agent| agent.parents.iter().map(|parent| (agent.pid, parent)))
    }

    fn known_parents(&self) -> BTreeSet<u32> {
        let links = self.own.links.iter();
        let served = links
            .filter(|link| self.served().any(|(_, parent)| is_about(parent, link)))
            .map(|link| link.ifindex);
        let views = [&self.own].into_iter().chain(&self.others.netnses);
        let lowers = views.flat_map(|view| {
            view.links
                .iter()
                .filter(|link| is_child_of_host(view, link))
                .filter_map(|link| Some(link.lower?.0))
        });
        served.chain(lowers).collect()
    }

    fn parent(&self, link: &LinkView) -> Parent {
        let mut served = self.served();
        let served = served.find(|(_, parent)| is_about(parent, link));
        let served = served.map(|(pid, parent)| (pid, parent.clone()));
        let mut children = Vec::new();
        for (index, view) in self.views() {
            for child in &view.links {
                let is_ours = is_child_of_host(view, child)
                    && child.lower.is_some_and(|(lower, _)| lower == link.ifindex);
                if is_ours {
                    children.push(seen(view, index, child));
                }
            }
        }
        // Children that this user cannot see are known to the agent.
        for child in served.iter().flat_map(|(_, parent)| &parent.children) {
            let mut seen = children.iter_mut();
            let same = seen.find(|seen: &&mut Child| {
                let inode = self.inode_of(seen);
                seen.ifindex == child.ifindex
                    && (child.netns.inode.is_none() || child.netns.inode == inode)
                    && seen.own == child.netns.nsid.is_none()
                    && seen.name == child.name
            });
            match same {
                Some(same) => same.served = Some(child.clone()),
                None => children.push(reported(child)),
            }
        }
        Parent {
            link: link.clone(),
            served,
            children,
        }
    }

    fn views(&self) -> impl Iterator<Item = (Option<usize>, &NetnsView)> {
        let others = self.others.netnses.iter().enumerate();
        let others = others.map(|(index, view)| (Some(index), view));
        std::iter::once((None, &self.own)).chain(others)
    }

    fn inode_of(&self, child: &Child) -> Option<u64> {
        self.netns_of(child).map(|netns| netns.inode)
    }
}

/// Returns whether an agent means this link: of one that it waits for it knows the name only.
fn is_about(parent: &protocol::Parent, link: &LinkView) -> bool {
    match parent.ifindex {
        Some(ifindex) => ifindex == link.ifindex,
        None => parent.name == link.name.as_str(),
    }
}

/// Returns whether a link of a netns is a child of a parent in the netns of the command.
fn is_child_of_host(view: &NetnsView, link: &LinkView) -> bool {
    let is_child = link
        .kind
        .as_deref()
        .is_some_and(|kind| KINDS.contains(&kind));
    is_child
        && link.lower.is_some_and(|(_, nsid)| {
            if view.is_own() {
                nsid.is_none()
            } else {
                nsid.is_some() && nsid == view.host_nsid
            }
        })
}

/// Returns a child as the kernel shows it.
fn seen(view: &NetnsView, inside: Option<usize>, link: &LinkView) -> Child {
    let addresses = view.addresses.iter();
    let routes = view.routes.iter();
    let leaves_by_it = |route: &&RouteView| {
        let mut gateways = route.gateways.iter();
        route.links.contains(&link.ifindex) || gateways.any(|it| it.oif == Some(link.ifindex))
    };
    let nsid = (!view.is_own()).then_some(0);
    Child {
        name: link.name.as_str().to_owned(),
        ifindex: link.ifindex,
        netns: netns_label(&view.names, view.pid, nsid),
        pid: unnamed(&view.names, view.pid),
        inside,
        own: view.is_own(),
        mode: link.port.map(|port| port.mode),
        flag: link.port.map(|port| port.flag),
        up: link.up,
        addresses: addresses
            .filter(|address| address.ifindex == link.ifindex && !is_link_local(address.address))
            .map(|address| (address.address, address.prefix_len))
            .collect(),
        routes: Some(routes.filter(leaves_by_it).cloned().collect()),
        served: None,
    }
}

/// Returns the process of a netns that `ip` does not know by its first name: that of Docker is in another directory.
fn unnamed(names: &[String], pid: Option<i32>) -> Option<i32> {
    let name = names.first().and_then(|name| name.rsplit('/').next());
    let is_known = name.is_some_and(|name| Path::new("/run/netns").join(name).exists());
    pid.filter(|_| !is_known)
}

/// Returns a child as an agent reports it.
fn reported(child: &protocol::Child) -> Child {
    let addresses = child.addresses.iter().filter_map(|address| {
        let (address, length) = address.address.split_once('/')?;
        Some((address.parse().ok()?, length.parse().ok()?))
    });
    let netns = &child.netns;
    Child {
        name: child.name.clone(),
        ifindex: child.ifindex,
        netns: netns_label(&netns.names, netns.pid, netns.nsid),
        pid: unnamed(&netns.names, netns.pid),
        inside: None,
        own: netns.nsid.is_none(),
        mode: match child.mode {
            Word::Known(mode) => Some(mode),
            Word::Other(_) => None,
        },
        flag: None,
        up: child.up,
        addresses: addresses
            .filter(|(address, _)| !is_link_local(*address))
            .collect(),
        routes: None,
        served: Some(child.clone()),
    }
}

/// Returns whether an address is link-local in IPv6, or a loopback address.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

/// Returns whether an address is in a prefix.
pub(super) fn is_in(address: IpAddr, (prefix, length): (IpAddr, u8)) -> bool {
    let (difference, width) = match (address, prefix) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128_u32),
        _ => return false,
    };
    let behind = width.saturating_sub(u32::from(length));
    difference.checked_shr(behind).unwrap_or(0) == 0
}
