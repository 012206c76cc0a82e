//! The subcommands, one file each.

pub mod cleanup;
pub mod run;
pub mod status;
