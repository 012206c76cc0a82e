//! From what the maps should hold to what they hold.

pub mod apply;
mod batch;
pub mod diff;
pub mod index;
pub mod maps;
pub mod room;
pub mod slots;
pub mod ticks;
