//! Options by which commands find agents and parents.

use std::path::PathBuf;

use clap::Args;

use crate::config::{InterfaceName, Options, Source};

/// Directories of the agents.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// Directory on a bpffs for pinned links and maps [default: /sys/fs/bpf/ipvlan]
    #[arg(long, value_name = "DIR")]
    pub pin_dir: Option<PathBuf>,

    /// Directory of lock files and status sockets [default: /run/ipvlan]
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
}

/// Options by which other commands find the directories of the agents.
#[derive(Clone, Debug, Args)]
pub struct FindArgs {
    /// Configuration file [default: /etc/ipvlan/config.toml, which may be missing]
    ///
    /// The directories of the agents are read from this file and the files `config.d/*.toml` beside it. Command-line
    /// options override them.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Directories of the agents.
    #[command(flatten)]
    pub places: PlaceArgs,
}

impl PlaceArgs {
    /// Returns `options` with these directories.
    pub(super) fn with(self, options: Options) -> Options {
        let Self {
            pin_dir,
            runtime_dir,
        } = self;
        Options {
            pin_dir,
            runtime_dir,
            ..options
        }
    }
}

impl From<FindArgs> for Source {
    fn from(args: FindArgs) -> Self {
        let FindArgs { config, places } = args;
        Self {
            file: config,
            overrides: places.with(Options::default()),
        }
    }
}

/// Options of the commands that ask agents about parents.
#[derive(Clone, Debug, Args)]
pub struct ParentArgs {
    /// Only this parent [default: all parents]
    ///
    /// Can be given several times. If no agent serves one of them, the exit code is 3.
    #[arg(long, value_name = "NAME")]
    pub iface: Vec<InterfaceName>,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}
