//! Netlink: requests to the kernel, and its events.
//!
//! All sockets of the agent are opened here. Rows are decoded by hand from `attribute`s where other processes decide
//! what they hold, and by the library elsewhere.

pub(crate) mod attribute;
mod client;
mod error;
mod events;
pub(crate) mod link;
pub(crate) mod socket;

pub use self::error::NetlinkError;
pub(crate) use self::{
    client::{End, Limit, Request, Rtnl},
    events::{Datagram, EventBuffer, EventSocket},
};
