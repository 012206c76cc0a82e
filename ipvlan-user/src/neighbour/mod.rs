//! Manners on the LAN: what a child that cannot speak for itself would say.
pub mod announce;
pub mod dad;
pub mod frame;
pub mod groups;
pub mod pace;
pub mod random;
pub mod socket;
