//! Options of `ipvlan capture`.

use std::path::PathBuf;

use clap::Args;

use super::FindArgs;
use crate::config::InterfaceName;

/// Options of `capture`.
#[derive(Debug, Args)]
pub struct CaptureArgs {
    /// Write packets to this file (pcapng), `-` for standard output [default: one line per frame]
    ///
    /// The comment of a packet has verdict, reason and child.
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,

    /// Only frames that concern this child, or from, to or about this address
    ///
    /// A child is named by its interface, its netns, or both: `blue/ipvl0`.
    #[arg(value_name = "CHILD|ADDRESS")]
    pub of: Option<String>,

    /// Parent whose frames are captured [default: all parents]
    #[arg(long, value_name = "NAME")]
    pub iface: Option<InterfaceName>,

    /// End after this number of frames.
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Capture at most this number of bytes of a frame [default: 256]
    #[arg(short, long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(14..=2048))]
    pub snaplen: Option<u32>,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}
