//! The hooks of the parent: from the context of a program to a decision.

pub mod tc;
pub mod xdp;

use core::ffi::c_void;

use ipvlan_common::{Config, Hook};

use crate::{
    reply::{arp::ArpFrame, nd::ReplyTo},
    wire::Frame,
};

/// A frame at a hook: what it takes to read a request and to turn it into the reply.
pub trait Packet {
    /// The hook, for counters and events.
    const HOOK: Hook;

    /// Returns the length of the frame, in bytes.
    fn len(&self) -> u32;

    /// Returns whether there is nothing in the frame.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether the frame carries a VLAN tag with an id other than 0 beside it.
    fn is_on_vlan(&self) -> bool;

    /// Returns the linear part of the frame, with its first `len` bytes if it has that many and the hook can make
    /// them linear.
    fn pull(&self, len: usize) -> Frame<'_>;

    /// Copies `len` bytes at `at` out of the frame. Returns whether the frame has them.
    ///
    /// # Safety
    ///
    /// `len` bytes must be writable at `to`.
    unsafe fn load(&self, at: u32, to: *mut c_void, len: u32) -> bool;

    /// Makes the frame this reply. Returns whether it could be written.
    fn reply_arp(&self, reply: &ArpFrame) -> bool;

    /// Turns the solicitation, which was parsed, into the advertisement. Returns whether it could be written.
    fn reply_nd(&self, to: ReplyTo, config: Config) -> bool;
}
