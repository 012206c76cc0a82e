//! Netlink requests: one message out, rows or an acknowledgement in.

pub(crate) mod attribute;
mod client;
pub(crate) mod exchange;
pub(crate) mod socket;

pub(crate) use client::{End, Limit, Request, Rtnl};
