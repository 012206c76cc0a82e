//! The command line.

use std::{ops::RangeInclusive, path::PathBuf};

use clap::{Args, Parser, Subcommand, value_parser};

use crate::{
    attach::TcAttach,
    config::{AUDIT, InterfaceName, Options, PERCENT, RATE, ROOM, Source, StaleAfter, XdpChoice},
    model::{Deliver, L2Broadcast, Prefix},
    neighbour::{Announcing, DadMode},
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
    Run(RunArgs),
    /// Show running agents (parents, hooks, children, addresses, counters) and pinned datapaths without an
    /// agent.
    ///
    /// All agents are asked at once. One that does not answer within 4 seconds is reported, the others are
    /// shown, and the exit code is 1.
    Status(StatusArgs),
    /// Remove programs, maps, filters and our clsact qdisc left behind by agents that no longer run.
    ///
    /// If another process changes lock files, it is waited for at most 4 seconds. Files that are no lock
    /// files or sockets of an agent are not opened.
    Cleanup(CleanupArgs),
}

/// Options of `run`.
///
/// An option that is not given is `None`: a configuration file may have it, whose keys are these names.
#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "an option without a value is one; `Options` has what they mean together"
)]
pub struct RunArgs {
    /// Read options from this file, then from the files `config.d/*.toml` beside it in the order of their
    /// names. The keys are the names of the options: `iface = ["eth0"]`, `l2-broadcast = "flood"`,
    /// `audit = 30`, `host-access = false`; tables `[[rule]]` narrow single children. Later files override
    /// earlier ones; command-line options override files. SIGHUP reads them again. [default:
    /// /etc/ipvlan/config.toml, which may be missing]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Parent interface of ipvlan children. Can be given several times. Required unless a configuration
    /// file names one.
    #[arg(long, value_name = "NAME")]
    pub iface: Vec<InterfaceName>,

    /// How to handle broadcast ARP requests and multicast neighbour solicitations from the wire for children
    /// in mode l2. [default: filter]
    #[arg(long, value_enum, value_name = "HOW")]
    pub l2_broadcast: Option<L2Broadcast>,

    /// How packets reach children in the parent's own network namespace. The driver delivers to all other
    /// children, and to all children in mode l3s. [default: auto]
    #[arg(long, value_enum, value_name = "HOW")]
    pub deliver: Option<Deliver>,

    /// How to attach the TC programs. [default: auto]
    #[arg(long, value_enum, value_name = "HOW")]
    pub attach: Option<TcAttach>,

    /// Also answer in XDP: faster answers at a cost for every packet. [default: off]
    #[arg(long, value_enum, value_name = "MODE")]
    pub xdp: Option<XdpChoice>,

    /// Pass packets between host and children to the kernel, which loses them. `--host-access` overrides a
    /// configuration file.
    #[arg(long, overrides_with_all = ["host_access", "no_host_access"])]
    pub no_host_access: bool,

    /// Overrides `--no-host-access`.
    #[arg(long, hide = true, overrides_with_all = ["host_access", "no_host_access"])]
    pub host_access: bool,

    /// Answer children's addresses in 169.254.0.0/16. Link-local IPv6 addresses are always answered.
    /// `--no-answer-link-local` overrides a configuration file.
    #[arg(long, overrides_with_all = ["answer_link_local", "no_answer_link_local"])]
    pub answer_link_local: bool,

    /// Overrides `--answer-link-local`.
    #[arg(long, hide = true, overrides_with_all = ["answer_link_local", "no_answer_link_local"])]
    pub no_answer_link_local: bool,

    /// Answer only children's addresses in this prefix. Can be given several times: together the prefixes
    /// are the whole list for both families, so a list without IPv6 prefixes refuses all IPv6 addresses
    /// but link-local ones, which it does not restrict. An allowed address also receives packets that the
    /// host routes elsewhere (to the default gateway, say), so `--allow 0.0.0.0/0` or `--allow ::/0` lets
    /// a child attract packets of the host to any address it takes. Without this option all addresses
    /// are answered, and none that is off-link for the host attracts its packets.
    #[arg(long, value_name = "CIDR")]
    pub allow: Vec<Prefix>,

    /// Never answer children's addresses in this prefix, allowed or not; `fe80::/10` denies link-local
    /// IPv6 addresses. Can be given several times.
    #[arg(long, value_name = "CIDR")]
    pub deny: Vec<Prefix>,

    /// Whether to probe the LAN for a child's new address (RFC 5227, RFC 4862). The child's own kernel probes
    /// for IPv6 addresses in mode l2. [default: optimistic]
    #[arg(long, value_enum, value_name = "HOW")]
    pub dad: Option<DadMode>,

    /// Whether to announce children's addresses to the LAN: when they appear, move or come up, when the
    /// parent's MAC changes, and at most every 10 seconds when a station claims one. [default: on]
    #[arg(long, value_enum, value_name = "WHETHER")]
    pub announce: Option<Announcing>,

    /// Announcements and probes of a parent, per second. [default: 10]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(signed(&RATE)))]
    pub announce_rate: Option<u32>,

    /// Addresses of one network namespace, both families together. Further ones are not answered, and
    /// counted. [default: 4096]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(signed(&ROOM)))]
    pub netns_addresses: Option<u32>,

    /// Events about addresses of one network namespace, per second. [default: 16]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(signed(&RATE)))]
    pub netns_events: Option<u32>,

    /// Announcements and probes for one network namespace, per second, within --announce-rate.
    /// [default: 5]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(signed(&RATE)))]
    pub netns_announcements: Option<u32>,

    /// Solicited-node groups that the parent joins for one network namespace. [default: 1024]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(signed(&ROOM)))]
    pub netns_groups: Option<u32>,

    /// Processor time for reading one network namespace, in percent of one processor. [default: 10]
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u32).range(signed(&PERCENT)))]
    pub netns_time: Option<u32>,

    /// Size of the address map of each family, per parent. [default: 16384]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(signed(&ROOM)))]
    pub max_addresses: Option<u32>,

    /// Number of children with counters, per parent. Further children are served, but not counted.
    /// [default: 4096]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(signed(&ROOM)))]
    pub max_children: Option<u32>,

    /// Seconds between two audits, which compare the maps with the kernel although nothing changed.
    /// [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(AUDIT))]
    pub audit: Option<u64>,

    /// Seconds that the programs keep answering after the last successful sync: at least 2, or 0 without
    /// limit. [default: 600]
    #[arg(long, value_name = "SECONDS")]
    pub stale_after: Option<StaleAfter>,

    /// Pin nothing: the programs are detached when the agent stops. `--pin` overrides a configuration file.
    #[arg(long, overrides_with_all = ["pin", "no_pin"])]
    pub no_pin: bool,

    /// Overrides `--no-pin`.
    #[arg(long, hide = true, overrides_with_all = ["pin", "no_pin"])]
    pub pin: bool,

    /// Directories of the agents.
    #[command(flatten)]
    pub places: PlaceArgs,
}

/// Directories of the agents.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Directory on a bpffs for pinned links and maps. [default: /sys/fs/bpf/ipvlan]
    #[arg(long, value_name = "DIR")]
    pub pin_dir: Option<PathBuf>,

    /// Directory of lock files and status sockets. [default: /run/ipvlan]
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
}

/// Options by which other commands find the directories of the agents.
#[derive(Debug, Args)]
pub struct FindArgs {
    /// Read the directories of the agents from this file and the files `config.d/*.toml` beside it.
    /// Command-line options override them. [default: /etc/ipvlan/config.toml, which may be missing]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Directories of the agents.
    #[command(flatten)]
    pub places: PlaceArgs,
}

impl From<FindArgs> for Source {
    fn from(args: FindArgs) -> Self {
        let FindArgs {
            config,
            places: PlaceArgs {
                pin_dir,
                runtime_dir,
            },
        } = args;
        Self {
            file: config,
            overrides: Options {
                pin_dir,
                runtime_dir,
                ..Options::default()
            },
        }
    }
}

/// What clap takes as the range of a `u32`.
fn signed(range: &RangeInclusive<u32>) -> RangeInclusive<i64> {
    i64::from(*range.start())..=i64::from(*range.end())
}

impl From<RunArgs> for Source {
    fn from(args: RunArgs) -> Self {
        let RunArgs {
            config,
            iface,
            l2_broadcast,
            deliver,
            attach,
            xdp,
            no_host_access,
            host_access,
            answer_link_local,
            no_answer_link_local,
            allow,
            deny,
            dad,
            announce,
            announce_rate,
            netns_addresses,
            netns_events,
            netns_announcements,
            netns_groups,
            netns_time,
            max_addresses,
            max_children,
            audit,
            stale_after,
            no_pin,
            pin,
            places: PlaceArgs {
                pin_dir,
                runtime_dir,
            },
        } = args;
        Self {
            file: config,
            overrides: Options {
                iface: given(iface),
                l2_broadcast,
                deliver,
                attach,
                xdp,
                host_access: one_of(host_access, no_host_access),
                answer_link_local: one_of(answer_link_local, no_answer_link_local),
                allow: given(allow),
                deny: given(deny),
                rule: None,
                dad,
                announce,
                announce_rate,
                netns_addresses,
                netns_events,
                netns_announcements,
                netns_groups,
                netns_time,
                max_addresses,
                max_children,
                audit,
                stale_after: stale_after.map(|StaleAfter(seconds)| seconds),
                pin: one_of(pin, no_pin),
                pin_dir,
                runtime_dir,
            },
        }
    }
}

/// The values of an option that can be given several times.
fn given<T>(values: Vec<T>) -> Option<Vec<T>> {
    (!values.is_empty()).then_some(values)
}

/// Returns the value of two options that override each other; none if neither is given.
fn one_of(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(yes)
}

/// Options of `cleanup`.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// Parent to clean up. Can be given several times. Without it, all parents that no agent serves.
    #[arg(long, value_name = "NAME")]
    pub iface: Vec<InterfaceName>,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}

#[cfg(test)]
mod tests;
