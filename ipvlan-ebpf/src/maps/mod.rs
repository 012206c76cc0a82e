//! Every map of the programs, behind typed functions.

pub mod addresses;
pub mod config;
pub mod counters;
pub mod events;
mod ordered;
pub mod scratch;

pub use self::addresses::AddressMap;
