//! The command line.

mod capture;
mod explain;
mod output;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub use self::{
    capture::CaptureArgs,
    explain::ExplainArgs,
    output::{FamilyArgs, Format, OutputArgs, Span, SpanError},
};
use crate::config::{InterfaceName, Options, Source};

/// Makes every ipvlan child behind a NIC reachable: from the LAN, from the host, in every mode.
#[derive(Debug, Parser)]
#[command(name = "ipvlan", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach to parents and serve their children until SIGINT or SIGTERM. The pinned datapath keeps
    /// answering then; `ipvlan cleanup` removes it.
    Run(Box<RunArgs>),
    /// Show running agents (parents, hooks, children, addresses, counters) and pinned datapaths without an
    /// agent.
    ///
    /// All agents are asked at once. One that does not answer within 4 seconds is reported, the others are
    /// shown, and the exit code is 1. Without a running agent the exit code is 3.
    Status(StatusArgs),
    /// Show children: netns, mode, addresses with their states, counters.
    Children(Box<ChildrenArgs>),
    /// Show how many frames the programs have counted, by hook and reason, and what each reason means.
    Counters(CountersArgs),
    /// Have the running agents read their configuration again, as SIGHUP does.
    Reload(ReloadArgs),
    /// Explain whether an address is answered, by whom, and by which rules it is not.
    ///
    /// The attached programs are run on a request and on a packet for the address; the frames are not sent. Exit code
    /// 0: a request is answered; 1: it is not; 2: this is no address; 3: no agent is running, or none serves the parent.
    Explain(ExplainArgs),
    /// Remove programs, maps, filters and our clsact qdisc left behind by agents that no longer run.
    ///
    /// If another process changes lock files, it is waited for at most 4 seconds. Files that are no lock
    /// files or sockets of an agent are not opened. What a running agent serves stays, and the exit code is 75.
    Cleanup(CleanupArgs),
    /// Show frames that the programs answer, hairpin, redirect, drop or pass on, or write them to a packet file.
    ///
    /// Until it ends, other programs are attached, which also copy the frames that they count.
    Capture(CaptureArgs),
    /// Check the configuration, or show every setting and where it comes from.
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print the completions of a shell.
    ///
    /// bash: `ipvlan completions bash > /usr/share/bash-completion/completions/ipvlan`. zsh: save them as `_ipvlan` in a
    /// directory of `$fpath`. fish: save them as `/usr/share/fish/vendor_completions.d/ipvlan.fish`.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the man page of ipvlan; with a directory, write those of all commands to it.
    Man {
        /// Directory that exists, for example /usr/share/man/man1
        directory: Option<PathBuf>,
    },
    /// Examine this node: kernel, hooks, links, settings, rules of the host, children, and who reaches whom.
    ///
    /// Nothing is changed. Each line is `ok`, `warn`, `fail` or `skip`; if something is wrong, the reason and the
    /// command that mends it are below it. Echo requests are sent from the host and from at most 8 children for one
    /// second. No agent needs to run. A check that lacks a privilege is skipped. The exit code is 1 if a line is `warn`
    /// or `fail`.
    Doctor(DoctorArgs),
}

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
}

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
    fn with(self, options: Options) -> Options {
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
                },
            places,
        } = args;
        let either = |value: Option<bool>, negation: bool| value.or(negation.then_some(false));
        let options = Options {
            host_access: either(options.host_access, no_host_access),
            answer_link_local: either(options.answer_link_local, no_answer_link_local),
            pin: either(options.pin, no_pin),
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

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// How to show it.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Addresses to show.
    #[command(flatten)]
    pub family: FamilyArgs,

    /// Show one line for each parent
    #[arg(long)]
    pub brief: bool,

    /// Have the agents read everything from the kernel first
    ///
    /// Otherwise the kernel's counters of links are those of the last such reading; everything else is current.
    #[arg(long)]
    pub fresh: bool,

    /// Wait until an agent serves each parent and all is well, for at most this time [default: 30s]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "30s")]
    pub wait: Option<Span>,

    /// Parent to show [default: all parents]
    ///
    /// Can be given several times. If no agent serves one of them, the exit code is 3.
    #[arg(long, value_name = "NAME")]
    pub iface: Vec<InterfaceName>,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}

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

/// Options of `children`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ChildrenArgs {
    /// What to do; the default is `list`.
    #[command(subcommand)]
    pub command: Option<ChildrenCommand>,

    /// Options of `list`.
    #[command(flatten)]
    pub list: ChildrenListArgs,
}

/// What to show of children.
#[derive(Debug, Subcommand)]
pub enum ChildrenCommand {
    /// List all children (the default)
    List(ChildrenListArgs),
    /// Show everything about the children with this name or address
    Show {
        /// Name of the link, its netns or its container, or an address
        #[arg(value_name = "NAME|ADDRESS")]
        child: String,

        /// The options of `list`.
        #[command(flatten)]
        list: ChildrenListArgs,
    },
}

/// Options of `children list`.
#[derive(Debug, Args)]
pub struct ChildrenListArgs {
    /// How to show them.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Addresses to show.
    #[command(flatten)]
    pub family: FamilyArgs,

    /// Show one line for each child
    #[arg(long)]
    pub brief: bool,

    /// Have the agents read everything from the kernel first
    #[arg(long)]
    pub fresh: bool,

    /// Parent whose children are shown [default: all parents]
    ///
    /// Can be given several times. If no agent serves one of them, the exit code is 3.
    #[arg(long, value_name = "NAME")]
    pub iface: Vec<InterfaceName>,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}

/// Options of `counters`.
#[derive(Debug, Args)]
pub struct CountersArgs {
    /// How to show them.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Show again and again, at this interval, the counters that changed, per second [default: 1s]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1s")]
    pub watch: Option<Span>,

    /// Show counters that are 0, too
    #[arg(long)]
    pub all: bool,

    /// Parent to show [default: all parents]
    ///
    /// Can be given several times. If no agent serves one of them, the exit code is 3.
    #[arg(long, value_name = "NAME")]
    pub iface: Vec<InterfaceName>,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}

/// Options of `reload`.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// How to show the outcome.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}

#[cfg(test)]
mod tests;
