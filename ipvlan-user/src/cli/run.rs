//! Options of `run`, `config` and `cleanup`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{FindArgs, OutputArgs, PlaceArgs};
use crate::config::{InterfaceName, Options, Source};

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the configuration as `ipvlan run` would and list its files; exit code 2 if it cannot be used.
    Check(Box<ConfigArgs>),
    /// Show every setting that `ipvlan run` would have with these options, as a configuration file, and where each
    /// comes from.
    Show {
        /// Options that `ipvlan run` would have.
        #[command(flatten)]
        args: Box<ConfigArgs>,
        /// How to show them.
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Options of `config`: those of `run`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The options of `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Configuration file [default: /etc/ipvlan/config.toml, which may be missing]
    ///
    /// Options are read from this file, then from the files `config.d/*.toml` beside it in the order of their names.
    /// The keys are the names of the options: `iface = ["eth0"]`, `l2-broadcast = "flood"`, `audit = 30`,
    /// `host-access = false`; tables `[[rule]]` narrow single children. Later files override earlier ones;
    /// command-line options override files. SIGHUP reads them again.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Options that a file can have too.
    #[command(flatten)]
    pub options: Options,

    /// Other spellings of them.
    #[command(flatten)]
    pub negations: Negations,

    /// Directories of the agents.
    #[command(flatten)]
    pub places: PlaceArgs,
}

/// Other spellings of `--NAME=false`. The last one that is given takes precedence.
#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own on the command line"
)]
pub struct Negations {
    /// Is the same as `--host-access=false`.
    #[arg(long, hide = true, overrides_with_all = ["host_access", "no_host_access"])]
    pub no_host_access: bool,

    /// Is the same as `--answer-link-local=false`.
    #[arg(long, hide = true, overrides_with_all = ["answer_link_local", "no_answer_link_local"])]
    pub no_answer_link_local: bool,

    /// Is the same as `--pin=false`.
    #[arg(long, hide = true, overrides_with_all = ["pin", "no_pin"])]
    pub no_pin: bool,

    /// Is the same as `--metrics-children=false`.
    #[arg(long, hide = true, overrides_with_all = ["metrics_children", "no_metrics_children"])]
    pub no_metrics_children: bool,
}

impl From<RunArgs> for Source {
    fn from(args: RunArgs) -> Self {
        let RunArgs {
            config,
            options,
            negations:
                Negations {
                    no_host_access,
                    no_answer_link_local,
                    no_pin,
                    no_metrics_children,
                },
            places,
        } = args;
        let either = |value: Option<bool>, negation: bool| value.or(negation.then_some(false));
        let options = Options {
            host_access: either(options.host_access, no_host_access),
            answer_link_local: either(options.answer_link_local, no_answer_link_local),
            pin: either(options.pin, no_pin),
            metrics_children: either(options.metrics_children, no_metrics_children),
            ..options
        };
        Self {
            file: config,
            overrides: places.with(options),
        }
    }
}

/// Options of `cleanup`.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// Parent to clean up [default: all parents that no agent serves]
    ///
    /// Can be given several times.
    #[arg(long, value_name = "NAME")]
    pub iface: Vec<InterfaceName>,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}
