//! Suites of rows: the same input to the kernel alone and to a node that the agent serves.

pub(crate) mod checks;
pub(crate) mod held;
pub(crate) mod prelude;
pub mod row;
pub(crate) mod scene;
pub(crate) mod site;
pub(crate) mod status;
pub mod suite;
pub(crate) mod tagged;
pub(crate) mod truth;
