//! Bytes of a frame: bounds, addresses, words and checksums.

pub mod checksum;
mod frame;
mod ip6;
mod mac;
pub mod message;
pub mod words;

pub use self::{
    frame::{ETH_LEN, Frame, Header},
    ip6::Ip6,
    mac::Mac,
};
