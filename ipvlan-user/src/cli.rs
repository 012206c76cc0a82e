//! The command line.

mod agents;
mod capture;
mod doctor;
mod explain;
mod find;
mod monitor;
mod output;
mod run;
mod top;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

pub use self::{
    agents::{
        ChildrenArgs, ChildrenCommand, ChildrenListArgs, CountersArgs, ReloadArgs, StatusArgs,
    },
    capture::CaptureArgs,
    doctor::DoctorArgs,
    explain::ExplainArgs,
    find::{FindArgs, ParentArgs, PlaceArgs},
    monitor::MonitorArgs,
    output::{FamilyArgs, Format, OutputArgs, Span, SpanError},
    run::{CleanupArgs, ConfigArgs, ConfigCommand, Negations, RunArgs},
    top::TopArgs,
};

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
    /// Show children with their rates of requests and packets, parents, and the health of syncs, again and again.
    ///
    /// Keys: `?` shows them. Rates are computed from two answers of the agents. Without a running agent the exit code
    /// is 3.
    Top(TopArgs),
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
    /// Show events as they happen, one line each: requests for children, refusals, conflicts, syncs.
    ///
    /// Frames are events of the topics arp, ndp and guard. For them, programs that capture are attached until it ends, as
    /// for `capture`; that is for root and the user of the agent. For the others, ask for `conflict` and `sync` only.
    Monitor(MonitorArgs),
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

#[cfg(test)]
mod tests;
