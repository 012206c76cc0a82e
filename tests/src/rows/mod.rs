//! Suites of rows: the same input to the kernel alone and to a node that the agent serves.

pub mod row;
pub(crate) mod scene;
pub mod suite;
pub(crate) mod tagged;
