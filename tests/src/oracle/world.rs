//! The two sides of the comparison: the same LAN, the same parent, the same children. On one side
//! the kernel answers by itself for children of mode l2, on the other the agent is attached.
//!
//! ```text
//!   lan: eth0 ──── host: ens34 ── child: ipvl0 (CHILD, SECOND, GATEWAY)
//!                              ├─ sibling: ipvl1 (SIBLING)
//!                              └─ down: ipvl2 (DOWN), not up
//! ```
//! Both sides have the same MACs and addresses, so their frames can be compared byte for byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use ipvlan_packet::Mac;

use super::{
    asker::OTHER_STATION,
    wire::{SENTINEL, SENTINEL_MAC},
};
pub(crate) use crate::bench::site::{LAN, PARENT, PARENT_MAC};
use crate::{
    bench::site::cable,
    demo::mode::Mode,
    family::{Pair, default_routes},
    lab::Lab,
    netns::{Netns, colons},
};

/// The prefix lengths of the LAN.
const LENGTHS: [u8; 2] = [16, 64];
/// Long enough that no timer of a neighbour entry or of duplicate address detection ends meanwhile.
const AN_HOUR: &str = "3600000";
const AN_HOUR_IN_SECONDS: &str = "3600";
/// The MTU of the link: frames of the matrix are up to this long.
pub(crate) const MTU: usize = 9000;

/// Returns a pair of 10.77.0.0/16 and `fd77::/64`.
const fn pair(last: u8) -> Pair {
    Pair {
        v4: Ipv4Addr::new(10, 77, 0, last),
        v6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last as u16),
    }
}

/// The child's first address.
pub(crate) const CHILD: Pair = pair(1);
/// Another address of the child.
pub(crate) const SECOND: Pair = pair(2);
/// The address of another child of the same parent.
pub(crate) const SIBLING: Pair = pair(3);
/// The address of a child that is down.
pub(crate) const DOWN: Pair = pair(4);
/// The host's address on the parent.
pub(crate) const HOST: Pair = pair(14);
/// The host's default gateway. The child holds this address, too.
pub(crate) const GATEWAY: Pair = pair(254);
/// Neither the host nor a child has this address.
pub(crate) const UNOWNED: Pair = pair(99);
/// The child's link-local address.
pub(crate) const CHILD_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x77, 0, 0, 1);
/// The host's.
pub(crate) const HOST_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x77, 0, 0, 14);
/// An IPv4-mapped address.
pub(crate) const MAPPED: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x0a4d, 1);

/// Addresses of the host and of children that are up: what is for them does not leave.
pub(crate) const OURS: [Ipv6Addr; 6] = [
    CHILD.v6,
    CHILD_LINK_LOCAL,
    SECOND.v6,
    SIBLING.v6,
    HOST.v6,
    GATEWAY.v6,
];

/// The MAC of the permanent neighbour entries of the addresses from which several frames come: a station on the LAN.
pub(crate) const KNOWN_MAC: Mac = OTHER_STATION;

/// Those addresses. A permanent entry keeps its MAC, whatever MAC a frame claims, and nothing probes it. An entry that a
/// frame could change would be used by later frames. The agent would have such an entry of the host probed
/// (`NUD_PROBE`), a tenth of a second later or more, and the probe would count as an answer to the frame sent then.
fn known() -> impl Iterator<Item = IpAddr> {
    let v4 = [CHILD, SECOND, SIBLING, HOST, GATEWAY].map(|pair| pair.v4.into());
    let v6 = OURS.into_iter().chain([MAPPED]).map(IpAddr::V6);
    v4.into_iter().chain(v6)
}

/// Returns whether `address` has a permanent neighbour entry.
pub(crate) fn is_known(address: Ipv6Addr) -> bool {
    known().any(|known| known == address)
}

/// What the sides have in common and a run of the matrix varies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// The child forwards IPv6: it is a router.
    pub router: bool,
    /// The child's IPv6 addresses are optimistic (RFC 4429).
    pub optimistic: bool,
}

/// One side.
#[derive(Debug)]
pub(crate) struct Side {
    /// Where the parent is and an agent may run.
    pub host: Netns,
    /// Where the LAN's end of the link is.
    pub lan: Netns,
    /// Where the child is.
    pub child: Netns,
    _others: [Netns; 2],
}

impl Side {
    /// Builds a side whose children are in `mode`.
    pub(crate) fn build(lab: &Lab, mode: Mode, traits: Traits) -> Result<Self> {
        let [lan, host] = cable(lab)?;
        lan.sysctl(&format!("ipv6/conf/{LAN}/disable_ipv6"), "1")?;
        lan.ip(&format!("link set {LAN} mtu {MTU}\n"))?;
        lay_host(&host)?;
        let make = |name: &str| {
            let netns = lab.netns(name)?;
            netns.quiet()?;
            Ok::<_, anyhow::Error>(netns)
        };
        let (child, sibling, down) = (make("child")?, make("sibling")?, make("down")?);
        for (number, netns) in [&child, &sibling, &down].into_iter().enumerate() {
            netns.add_ipvlan(&host, PARENT, &format!("ipvl{number}"), mode.name())?;
        }
        configure_child(&child, traits)?;
        sibling.ip(&format!(
            "link set ipvl1 up\n{}route add default dev ipvl1\n",
            SIBLING.added_with("ipvl1", LENGTHS, "nodad")
        ))?;
        down.ip(&DOWN.added_with("ipvl2", LENGTHS, "nodad"))?;
        for (netns, device) in [(&host, PARENT), (&child, "ipvl0"), (&sibling, "ipvl1")] {
            patient(netns, device)?;
            netns.ip(&neighbours(device))?;
        }
        Ok(Self {
            lan,
            host,
            child,
            _others: [sibling, down],
        })
    }
}

fn lay_host(host: &Netns) -> Result<()> {
    host.ip(&format!(
        "link set {PARENT} mtu {MTU}\n\
         {}\
         addr add {HOST_LINK_LOCAL}/64 dev {PARENT} nodad\n\
         {}",
        HOST.added_with(PARENT, LENGTHS, "nodad"),
        default_routes(PARENT, Some(GATEWAY))
    ))
}

fn configure_child(child: &Netns, traits: Traits) -> Result<()> {
    let Traits { router, optimistic } = traits;
    let flag = if optimistic { "optimistic" } else { "nodad" };
    if optimistic {
        // The first probe is never followed by the end of the detection.
        child.sysctl("ipv6/conf/all/optimistic_dad", "1")?;
        child.sysctl("ipv6/conf/ipvl0/optimistic_dad", "1")?;
        child.sysctl("ipv6/neigh/ipvl0/retrans_time_ms", AN_HOUR)?;
    }
    if router {
        child.sysctl("ipv6/conf/all/forwarding", "1")?;
        child.sysctl("ipv6/conf/ipvl0/forwarding", "1")?;
    }
    child.ip(&format!(
        "link set ipvl0 up\n\
         {}\
         addr add {CHILD_LINK_LOCAL}/64 dev ipvl0 {flag}\n\
         {}",
        addresses("ipvl0", &[CHILD, SECOND, GATEWAY], flag),
        default_routes("ipvl0", None)
    ))
}

/// The lines that add each of `pairs` to `device`.
fn addresses(device: &str, pairs: &[Pair], flag: &str) -> String {
    let lines = pairs
        .iter()
        .map(|pair| pair.added_with(device, LENGTHS, flag));
    lines.collect()
}

/// The lines that add the permanent neighbour entries to `device`.
fn neighbours(device: &str) -> String {
    let known = known().map(|address| (address, KNOWN_MAC));
    let lines = [(IpAddr::V4(SENTINEL), SENTINEL_MAC)]
        .into_iter()
        .chain(known)
        .map(|(address, mac)| {
            let mac = colons(mac);
            format!("neigh replace {address} lladdr {mac} dev {device} nud permanent\n")
        });
    lines.collect::<Vec<_>>().concat()
}

/// Neighbours that `device` learns from a frame are not asked again while the matrix runs, and one
/// that has to be asked for is asked for once; proxied answers are not delayed.
fn patient(netns: &Netns, device: &str) -> Result<()> {
    netns.neighbour_sysctls(
        device,
        &[
            ("delay_first_probe_time", AN_HOUR_IN_SECONDS),
            ("base_reachable_time_ms", AN_HOUR),
            ("retrans_time_ms", AN_HOUR),
            ("proxy_delay", "0"),
        ],
    )
}
