//! Frames out: replies, byte for byte as the kernel sends them.

pub mod arp;
pub mod nd;
