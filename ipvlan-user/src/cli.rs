//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};

use crate::{
    attach::{PIN_DIR, TcAttach, XdpMode},
    model::{Deliver, L2Broadcast, Prefix},
    neighbour::{Announcing, DadMode},
    runtime::RUNTIME_DIR,
};

/// Longest interface name (`IFNAMSIZ` less its NUL).
const MAX_NAME: usize = 15;

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
    /// Attach to parents and serve their children until SIGINT, SIGTERM or SIGHUP. What is attached goes on
    /// answering then; `ipvlan cleanup` removes it.
    Run(RunArgs),
    /// Show the running agents: parents, hooks, children, addresses, counters.
    Status(StatusArgs),
    /// Remove what agents left attached and pinned that are not running any more.
    Cleanup(CleanupArgs),
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Interface that is the parent of ipvlan children. Can be given several times.
    #[arg(long = "iface", value_name = "NAME", required = true, value_parser = interface_name)]
    pub interfaces: Vec<String>,

    /// What to do with ARP requests and neighbour solicitations that the wire sends to everybody, when
    /// the children are in mode l2.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub l2_broadcast: L2Broadcast,

    /// How packets reach children in the parent's own network namespace. For all others, and for
    /// mode l3s, it is always the driver.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub deliver: Deliver,

    /// How to attach the TC programs.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub attach: TcAttach,

    /// Also answer in XDP: faster answers, but every packet pays for it.
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub xdp: XdpChoice,

    /// Leave packets between host and children to the kernel, which loses them.
    #[arg(long)]
    pub no_host_access: bool,

    /// Answer for children's addresses in 169.254.0.0/16. Link-local IPv6 addresses are always answered for.
    #[arg(long)]
    pub answer_link_local: bool,

    /// Answer only for children's addresses in this prefix. Can be given several times. Restricts the
    /// family it is of, link-local addresses included; the other family is not restricted.
    #[arg(long, value_name = "CIDR")]
    pub allow: Vec<Prefix>,

    /// Never answer for children's addresses in this prefix, allowed or not. Can be given several
    /// times.
    #[arg(long, value_name = "CIDR")]
    pub deny: Vec<Prefix>,

    /// Whether to probe the LAN for a child's new address, as its own kernel would if it could. Not
    /// done for IPv6 in mode l2, where the child's kernel does.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub dad: DadMode,

    /// Whether to announce children's addresses to the LAN: when they appear, move, come up, when the
    /// parent's MAC changes, and, at most every 10 seconds, when a station claims one.
    #[arg(long, value_enum, default_value_t, value_name = "WHETHER")]
    pub announce: Announcing,

    /// Room for addresses of each family, per parent.
    #[arg(long, default_value_t = 16_384, value_name = "N", value_parser = value_parser!(u32).range(1..=1_048_576))]
    pub max_addresses: u32,

    /// Room for counters of children, per parent. Further children are served, but not counted.
    #[arg(long, default_value_t = 4_096, value_name = "N", value_parser = value_parser!(u32).range(1..=1_048_576))]
    pub max_children: u32,

    /// Seconds between two audits, which compare the maps with the kernel even if nothing changed.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=86_400))]
    pub audit: u64,

    /// Seconds after which the programs stop answering when no agent has been alive for so long; 0 for
    /// never.
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = value_parser!(u64).range(..=31_536_000))]
    pub stale_after: u64,

    /// Detach when the agent ends, however it ends. Without this the programs go on answering, and the
    /// next agent takes over from them.
    #[arg(long)]
    pub no_pin: bool,

    /// Directory where programs and maps outlive the agent, on a BPF filesystem.
    #[arg(long, default_value = PIN_DIR, value_name = "DIR")]
    pub pin_dir: PathBuf,

    /// Directory of lock files and status sockets.
    #[arg(long, default_value = RUNTIME_DIR, value_name = "DIR")]
    pub runtime_dir: PathBuf,
}

/// Options of `cleanup`.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// Parent to clean up. Can be given several times; without it, all parents that no agent serves.
    #[arg(long = "iface", value_name = "NAME", value_parser = interface_name)]
    pub interfaces: Vec<String>,

    /// Directory where programs and maps outlive the agent.
    #[arg(long, default_value = PIN_DIR, value_name = "DIR")]
    pub pin_dir: PathBuf,

    /// Directory of lock files and status sockets.
    #[arg(long, default_value = RUNTIME_DIR, value_name = "DIR")]
    pub runtime_dir: PathBuf,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// Directory of lock files and status sockets.
    #[arg(long, default_value = RUNTIME_DIR, value_name = "DIR")]
    pub runtime_dir: PathBuf,
}

/// Whether and where the XDP program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum XdpChoice {
    /// No XDP program.
    #[default]
    Off,
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

impl From<XdpChoice> for Option<XdpMode> {
    fn from(choice: XdpChoice) -> Self {
        match choice {
            XdpChoice::Off => None,
            XdpChoice::Native => Some(XdpMode::Native),
            XdpChoice::Generic => Some(XdpMode::Generic),
        }
    }
}

/// What the kernel accepts (`dev_valid_name`).
fn interface_name(name: &str) -> Result<String, String> {
    if name.is_empty() || name == "." || name == ".." {
        return Err("not an interface name".to_owned());
    }
    if name.len() > MAX_NAME {
        return Err(format!("longer than {MAX_NAME} bytes"));
    }
    if let Some(character) = name
        .chars()
        .find(|character| matches!(character, '/' | ':' | '\0') || character.is_ascii_whitespace())
    {
        return Err(format!("{character:?} cannot be in an interface name"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn prefixes_and_manners_are_taken_and_have_defaults() {
        let run = |options: &[&str]| {
            let line = ["ipvlan", "run", "--iface", "lan0"].iter().chain(options);
            match Cli::try_parse_from(line) {
                Ok(Cli {
                    command: Command::Run(args),
                }) => Ok(args),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.to_string()),
            }
        };
        let args = run(&[]).unwrap();
        assert!(args.allow.is_empty() && args.deny.is_empty());
        assert_eq!((args.dad, args.announce), (DadMode::Warn, Announcing::On));

        let args = run(&[
            "--allow=10.0.0.0/8",
            "--allow=2001:db8::/32",
            "--deny=10.0.0.1",
            "--dad=enforce",
            "--announce=off",
        ])
        .unwrap();
        assert_eq!((args.allow.len(), args.deny.len()), (2, 1));
        assert_eq!(
            (args.dad, args.announce),
            (DadMode::Enforce, Announcing::Off)
        );

        let error = run(&["--deny=10.0.0.1/8"]).unwrap_err();
        assert!(error.contains("10.0.0.0/8 is meant"), "{error}");
    }

    #[test]
    fn names_that_the_kernel_refuses_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a:1",
            "a b",
            "a\0",
            "sixteen-letters!",
        ] {
            assert!(interface_name(name).is_err(), "{name:?}");
        }
        for name in ["ens34", "eth0.100", "fifteen-letters", "ü"] {
            assert_eq!(interface_name(name).as_deref(), Ok(name));
        }
    }
}
