//! Options of `explain`.

use std::net::IpAddr;

use clap::Args;

use super::{FindArgs, OutputArgs};
use crate::{config::InterfaceName, protocol::Sender};

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// IPv4 or IPv6 address, without a prefix length
    pub address: IpAddr,

    /// Sender of the frames: lan, host, or an address [default: a station on the LAN, then the host]
    ///
    /// lan: a station whose address has no owner here. host: the host itself. An address: the host or a child if it
    /// has the address, a station otherwise.
    #[arg(long, value_name = "lan|host|ADDRESS")]
    pub from: Option<Sender>,

    /// Parent whose programs are run [default: the parent of the child that has the address]
    #[arg(long, value_name = "NAME")]
    pub parent: Option<InterfaceName>,

    /// How to show it.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}
