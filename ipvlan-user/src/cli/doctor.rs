//! Options of `ipvlan doctor`.

use clap::Args;

use super::{FindArgs, OutputArgs};
use crate::config::InterfaceName;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// How to show it.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Parent to examine [default: parents of running agents, and interfaces with ipvlan children]
    ///
    /// Can be given several times.
    #[arg(long, value_name = "NAME")]
    pub iface: Vec<InterfaceName>,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}
