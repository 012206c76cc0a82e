//! What the kernel was seen to hold: pure data, no behaviour that needs the kernel.
//!
//! [`Discover::snapshot`](crate::discover::Discover::snapshot) is the only producer; tests build the same
//! types by hand (everything is public and has a default). Of each netns a snapshot has all children as they
//! were at one moment, or none; it is never part of a netns.

mod arp;
mod child;
mod dad;
mod host;
mod link;
mod name;
mod netns;
mod pids;
mod snapshot;

pub use self::{
    arp::Arp,
    child::{Child, ChildAddress, Kind, Mode, Port, PortFlag},
    dad::Dad,
    host::{
        AnycastAddress, ArpSettings, Gateway, Host, HostAddress, OnLinkRoute, ProxyArp, RouteInside,
    },
    link::{Link, LinkStats, Lower, Master, Xdp, XdpMode},
    name::LinkName,
    netns::{Netns, NetnsId},
    pids::Pids,
    snapshot::Snapshot,
};
