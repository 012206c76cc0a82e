//! Layouts that the eBPF programs and their loader share.
//!
//! Everything here crosses the kernel boundary as bytes: values are `#[repr(C)]`, without padding,
//! without `bool` and without enums, and their sizes are asserted. Addresses are byte arrays in
//! network order; other integers are in the byte order of the machine. There is no logic here
//! beyond turning a stored number into its name and back.

#![no_std]

mod address;
mod capture;
mod config;
mod event;
mod hook;
pub mod index;
mod layout;
mod mac;
mod owner;
mod reason;

pub use address::AddressEntry;
pub use capture::{CAPTURE_SNAP, CaptureHeader, CaptureRecord};
pub use config::{Config, ConfigFlags, Control};
pub use event::{Event, EventKind};
pub use hook::{COUNTERS, ChildCounters, ChildRecord, Hook, counter_index};
pub use layout::{LAYOUT, globals, maps, programs};
pub use mac::{mac_from_bits, mac_to_bits};
pub use owner::{Delivery, Owner, halves_v6};
pub use reason::{REASONS, Reason, ReasonClass};
