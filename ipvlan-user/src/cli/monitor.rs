//! Options of `ipvlan monitor`.

use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _},
};

use super::{FindArgs, OutputArgs};
use crate::{config::InterfaceName, protocol::Topic};

/// Options of `monitor`.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// What events are about [default: everything]
    #[arg(value_name = "TOPIC", value_parser = topics().try_map(|word| word.parse::<Topic>()))]
    pub topics: Vec<Topic>,

    /// Only events about this parent, and syncs that are about no single one [default: all parents]
    #[arg(long, value_name = "NAME")]
    pub iface: Option<InterfaceName>,

    /// End after this number of events.
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// How to show them; `json` is the same as `jsonl`.
    #[command(flatten)]
    pub output: OutputArgs,

    /// Directories of the agents.
    #[command(flatten)]
    pub find: FindArgs,
}

fn topics() -> PossibleValuesParser {
    let of = |topic: Topic| {
        PossibleValue::new(topic.word()).help(match topic {
            Topic::Arp => {
                "ARP requests for addresses of children and of the host, and what became of them"
            }
            Topic::Ndp => "Solicitations for them",
            Topic::Guard => "Frames that a rule refuses: docs/guard.md",
            Topic::Conflict => {
                "Claims and probes of stations, conflicts, children that move, changes of the mode"
            }
            Topic::Sync => "Syncs and what they wrote, failures, states of parents",
        })
    };
    PossibleValuesParser::new(Topic::ALL.map(of))
}
