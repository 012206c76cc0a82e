//! The maps of the programs: from what they should hold to what they hold.

pub mod apply;
mod batch;
pub mod deadline;
pub mod diff;
mod handles;
pub mod index;
pub mod room;
pub mod slots;

pub use self::handles::{Events, Maps, MapsError};
