//! Options of one source: the command line, or a file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    rule,
    value::{AuditSeconds, Count, InterfaceName, Percent, Rate, RefreshSeconds, StaleAfter},
    words::XdpChoice,
};
use crate::{
    attach::{Order, TcAttach},
    lan::{Announcing, DadMode, Defending},
    metrics::MetricsChoice,
    model::{Deliver, Dhcp, L2Broadcast, Prefix, Rule},
};

/// A field of [`Options`].
trait Layer {
    /// Returns the field of two sources merged; `self` takes precedence.
    fn over(self, lower: Self) -> Self;
}

impl<T> Layer for Option<T> {
    fn over(self, lower: Self) -> Self {
        self.or(lower)
    }
}

/// A list that each source adds to.
impl<T> Layer for Vec<T> {
    fn over(mut self, mut lower: Self) -> Self {
        lower.append(&mut self);
        lower
    }
}

/// Defines a struct whose fields are layers, and its method `over`.
macro_rules! layers {
    (
        $(#[$($attribute:tt)*])*
        pub struct $name:ident {
            $( $(#[$($of_field:tt)*])* pub $field:ident: $type:ty, )*
        }
    ) => {
        $(#[$($attribute)*])*
        pub struct $name {
            $( $(#[$($of_field)*])* pub $field: $type, )*
        }

        impl $name {
            /// Returns both merged; `self` takes precedence. Rules are joined, those of `lower` first.
            #[must_use]
            pub fn over(self, lower: Self) -> Self {
                Self {
                    $( $field: Layer::over(self.$field, lower.$field), )*
                }
            }
        }
    };
}

layers! {
/// Options of `ipvlan run`, which are the keys of a configuration file; those that are not given are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// Parent interface of ipvlan children
    ///
    /// Can be given several times. Required unless a configuration file names one.
    #[arg(long, value_name = "NAME")]
    pub iface: Option<Vec<InterfaceName>>,

    /// How to handle neighbour requests from the wire for children in mode l2 [default: filter]
    ///
    /// Neighbour requests are broadcast ARP requests and multicast neighbour solicitations.
    #[arg(long, value_name = "HOW")]
    pub l2_broadcast: Option<L2Broadcast>,

    /// How packets reach children in the parent's own network namespace [default: auto]
    ///
    /// The driver delivers to all other children, and to all children in mode l3s.
    #[arg(long, value_name = "HOW")]
    pub deliver: Option<Deliver>,

    /// Whether to set the broadcast flag of DHCP requests from children in mode l2 [default: auto]
    ///
    /// Without the flag, a child without an address does not receive the offer. The option needs the program at
    /// egress, so it has no effect with `--no-host-access`.
    #[arg(long, value_name = "WHETHER")]
    pub dhcp: Option<Dhcp>,

    /// How to attach the TC programs [default: auto]
    #[arg(long, value_name = "HOW")]
    pub attach: Option<TcAttach>,

    /// Where the TC programs run among those of other processes [default: first]
    ///
    /// A program that ends the chain keeps frames from those behind it.
    #[arg(long, value_name = "WHERE")]
    pub order: Option<Order>,

    /// Also answer in XDP: faster answers at a cost for every packet [default: off]
    #[arg(long, value_name = "MODE")]
    pub xdp: Option<XdpChoice>,

    /// Let host and children reach each other [default: true]
    ///
    /// With `--no-host-access`, which is the same as `--host-access=false`, packets between host and children are
    /// passed to the kernel, which loses them.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        overrides_with = "host_access")]
    pub host_access: Option<bool>,

    /// Answer children's addresses in 169.254.0.0/16 [default: false]
    ///
    /// Link-local IPv6 addresses are always answered. `--no-answer-link-local` is the same as
    /// `--answer-link-local=false`.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        overrides_with = "answer_link_local")]
    pub answer_link_local: Option<bool>,

    /// Answer only children's addresses in this prefix
    ///
    /// Can be given several times: together the prefixes are the whole list for both families, so a list without
    /// IPv6 prefixes refuses all IPv6 addresses but link-local ones, which it does not restrict. An allowed address
    /// also receives packets that the host routes elsewhere (to the default gateway, say), so `--allow 0.0.0.0/0` or
    /// `--allow ::/0` lets a child attract packets of the host to any address it takes. Without this option all
    /// addresses are answered, and none that is off-link for the host attracts its packets.
    #[arg(long, value_name = "CIDR")]
    pub allow: Option<Vec<Prefix>>,

    /// Never answer children's addresses in this prefix, allowed or not
    ///
    /// Can be given several times. `fe80::/10` denies link-local IPv6 addresses.
    #[arg(long, value_name = "CIDR")]
    pub deny: Option<Vec<Prefix>>,

    /// Settings of single children. Only files have them; those of all files apply, in the order of reading.
    #[arg(skip)]
    #[serde(deserialize_with = "rule::list", serialize_with = "rule::show")]
    pub rule: Vec<Rule>,

    /// Whether to probe the LAN for a child's new address [default: optimistic]
    ///
    /// Probes are those of RFC 5227 and RFC 4862. The child's own kernel probes for IPv6 addresses in mode l2.
    #[arg(long, value_name = "HOW")]
    pub dad: Option<DadMode>,

    /// Whether to announce children's addresses to the LAN [default: on]
    ///
    /// They are announced when they appear, move or come up, and when the parent's MAC changes.
    #[arg(long, value_name = "WHETHER")]
    pub announce: Option<Announcing>,

    /// Whether to defend children's addresses that a station claims, in modes l3 and l3s [default: on]
    ///
    /// An address is defended by one announcement, about 3 seconds later, if the child still has the address. If the
    /// claims go on, the address is answered but no longer announced, and `status` names it. No kernel defends an
    /// address in mode l2.
    #[arg(long, value_name = "WHETHER")]
    pub defend: Option<Defending>,

    /// Seconds after which each address is announced again; 0 is never [default: 0]
    ///
    /// Switches then keep the parent's MAC while children are silent. Within --announce-rate.
    #[arg(long, value_name = "SECONDS")]
    pub refresh: Option<RefreshSeconds>,

    /// Announcements and probes of a parent, per second [default: 10]
    #[arg(long, value_name = "N")]
    pub announce_rate: Option<Rate>,

    /// Addresses of one network namespace, both families together [default: 4096]
    ///
    /// Further addresses are not answered, and counted.
    #[arg(long, value_name = "N")]
    pub netns_addresses: Option<Count>,

    /// Events about addresses of one network namespace, per second [default: 16]
    #[arg(long, value_name = "N")]
    pub netns_events: Option<Rate>,

    /// Announcements and probes for one network namespace, per second [default: 5]
    ///
    /// Within --announce-rate.
    #[arg(long, value_name = "N")]
    pub netns_announcements: Option<Rate>,

    /// Solicited-node groups that the parent joins for one network namespace [default: 1024]
    #[arg(long, value_name = "N")]
    pub netns_groups: Option<Count>,

    /// Processor time for reading one network namespace, in percent of one processor [default: 10]
    #[arg(long, value_name = "PERCENT")]
    pub netns_time: Option<Percent>,

    /// Size of the address map of each family, per parent [default: 16384]
    #[arg(long, value_name = "N")]
    pub max_addresses: Option<Count>,

    /// Number of children with counters, per parent [default: 4096]
    ///
    /// Further children are served, but not counted.
    #[arg(long, value_name = "N")]
    pub max_children: Option<Count>,

    /// Seconds between two audits [default: 60]
    ///
    /// An audit compares the maps with the kernel although nothing changed.
    #[arg(long, value_name = "SECONDS")]
    pub audit: Option<AuditSeconds>,

    /// Seconds that the programs keep answering after the last successful sync [default: 600]
    ///
    /// At least 2, or 0 without limit.
    #[arg(long, value_name = "SECONDS")]
    pub stale_after: Option<StaleAfter>,

    /// Pin links and maps, so that the datapath survives the agent [default: true]
    ///
    /// With `--no-pin`, which is the same as `--pin=false`, the programs are detached when the agent stops.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        overrides_with = "pin")]
    pub pin: Option<bool>,

    /// Serve metrics, /healthz and /readyz over HTTP [default: off]
    ///
    /// `off`, or where: `unix:PATH` is a socket for the agent's user and group; `127.0.0.1:PORT` or `[::1]:PORT` is for every user of
    /// this host. Other addresses are refused.
    #[arg(long, value_name = "ENDPOINT")]
    pub metrics: Option<MetricsChoice>,

    /// Add series of each child to the metrics [default: false]
    ///
    /// Containers choose how many children there are, so the number of series has no bound but the quotas.
    /// `--no-metrics-children` is the same as `--metrics-children=false`.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        overrides_with = "metrics_children")]
    pub metrics_children: Option<bool>,

    /// Directory of the pins, on a BPF filesystem. Other commands have this option too: `cli::PlaceArgs`.
    #[arg(skip)]
    pub pin_dir: Option<PathBuf>,

    /// Directory of lock files and status sockets. Other commands have this option too: `cli::PlaceArgs`.
    #[arg(skip)]
    pub runtime_dir: Option<PathBuf>,
}
}
