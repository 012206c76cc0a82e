//! A LAN, a host and children behind it, by ipvlan and by what people use instead.
//!
//! ```text
//!   lan: eth0 ──── host: ens34 ── children 0, 1, … in network namespaces of their own
//! ```

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    demo::mode::Mode,
    family::Family,
    lab::{Lab, connect},
    netns::{Netns, colons},
};

/// The parent, or what stands for it.
pub(crate) const PARENT: &str = "ens34";
/// The LAN's end of the link.
pub(crate) const LAN: &str = "eth0";
pub(super) const LAN_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 1);
pub(super) const LAN_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 1, 1);
pub(super) const HOST_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 2);
const HOST_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 1, 2);
pub(super) const LAN_MAC: [u8; 6] = [2, 0x77, 0, 0, 0, 2];
pub(crate) const PARENT_MAC: [u8; 6] = [2, 0x77, 0, 0, 0, 1];
/// The host's end of the link to a child that it routes to.
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const ROUTER_MAC: [u8; 6] = [2, 0x77, 0, 2, 0, 0];
/// The host's own child of the parent, where it reaches the others through one.
pub(super) const SHIM: &str = "shim0";
pub(super) const SHIM_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 3);
/// Devices in one netns, unless each is to have its own.
const DEVICES_PER_NETNS: u32 = 64;
/// At most as many devices; what is more is addresses of them.
const DEVICES: u32 = 256;

/// How children are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ipvlan(Mode),
    Macvlan,
    /// The parent is a port of a bridge, children are behind veth pairs on others.
    Bridge,
    /// Veth pairs, the host routes and answers ARP for the children (`proxy_arp`).
    Routed,
}

impl Kind {
    /// What people are shown.
    pub(super) fn name(self) -> String {
        match self {
            Self::Ipvlan(mode) => format!("ipvlan {mode}"),
            Self::Macvlan => "macvlan".to_owned(),
            Self::Bridge => "bridge + veth".to_owned(),
            Self::Routed => "veth + routing + proxy_arp".to_owned(),
        }
    }
}

/// All of it.
pub(super) struct Site {
    pub(super) lan: Netns,
    pub(super) host: Netns,
    pub(super) kind: Kind,
    pub(super) children: u32,
    /// Devices in each netns.
    per_netns: u32,
    netns: Vec<Netns>,
}

/// The address of a child.
pub(super) fn v4(child: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a4d_4000 + child)
}

/// The address of a child; the last 24 bits are its own, and so is its solicited-node group.
pub(super) fn v6(child: u32) -> Ipv6Addr {
    let [_, a, b, c] = (0x40_0000 + child).to_be_bytes();
    let low = [u16::from_be_bytes([0, a]), u16::from_be_bytes([b, c])];
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, low[0], low[1])
}

/// Another address of a child, in a prefix of its own: all have the same solicited-node group.
pub(super) fn shared_group(child: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfd78_u128 << 112 | u128::from(child) << 64 | 0x99)
}

impl Site {
    /// So many children, each with an address of both families. Beyond [`DEVICES`] they share devices.
    pub(super) fn build(lab: &Lab, kind: Kind, children: u32) -> Result<Self> {
        let [lan, host] = cable(lab)?;
        lan.ip(&address(LAN, LAN_V4, LAN_V6, 1))?;
        if kind == Kind::Bridge {
            host.ip(&format!(
                "link add br0 address {} type bridge\nlink set br0 up\nlink set {PARENT} master br0\n{}",
                colons(PARENT_MAC),
                address("br0", HOST_V4, HOST_V6, 2)
            ))?;
        } else {
            host.ip(&address(PARENT, HOST_V4, HOST_V6, 2))?;
        }
        if kind == Kind::Routed {
            host.sysctl("ipv4/conf/all/forwarding", "1")?;
            host.sysctl(&format!("ipv4/conf/{PARENT}/proxy_arp"), "1")?;
            host.sysctl(&format!("ipv4/neigh/{PARENT}/proxy_delay"), "0")?;
        }
        let devices = children.min(DEVICES);
        let netns = (0..devices.div_ceil(DEVICES_PER_NETNS))
            .map(|number| {
                let netns = lab.netns(&format!("ns{number:03}"))?;
                netns.quiet()?;
                Ok(netns)
            })
            .collect::<Result<_>>()?;
        let site = Self {
            lan,
            host,
            kind,
            children,
            per_netns: DEVICES_PER_NETNS,
            netns,
        };
        for device in 0..devices {
            site.connect(device)?;
        }
        site.patient()?;
        Ok(site)
    }

    /// As many children, in a netns each, so that they can talk to each other.
    pub(super) fn apart(lab: &Lab, kind: Kind, children: u32) -> Result<Self> {
        let mut site = Self::build(lab, kind, 0)?;
        for number in 0..children {
            let netns = lab.netns(&format!("ns{number:03}"))?;
            netns.quiet()?;
            site.netns.push(netns);
        }
        site.children = children;
        site.per_netns = 1;
        for device in 0..children {
            site.connect(device)?;
        }
        site.patient()?;
        Ok(site)
    }

    /// Where the child with this number is, and its device.
    pub(super) fn child(&self, child: u32) -> Result<(&Netns, String)> {
        let device = child % self.devices();
        let netns = self.netns.get(usize::try_from(device / self.per_netns)?);
        Ok((netns.context("no such child")?, name(device)))
    }

    /// All netns with children.
    pub(super) fn netns(&self) -> &[Netns] {
        &self.netns
    }

    /// How many devices all children have together.
    pub(super) fn devices(&self) -> u32 {
        self.children.clamp(1, DEVICES)
    }

    /// The MAC that frames of the LAN for this child have to go to.
    pub(super) fn mac_for_lan(&self, child: u32) -> [u8; 6] {
        match self.kind {
            Kind::Ipvlan(_) | Kind::Routed => PARENT_MAC,
            Kind::Macvlan | Kind::Bridge => own_mac(child % self.devices()),
        }
    }

    /// Gives the host a child of its own, and routes to all others through it.
    pub(super) fn add_shim(&self) -> Result<()> {
        let kind = match self.kind {
            Kind::Ipvlan(mode) => format!("ipvlan mode {mode}"),
            Kind::Macvlan => "macvlan mode bridge".to_owned(),
            Kind::Bridge | Kind::Routed => anyhow::bail!("no shim is needed"),
        };
        let device = format!(
            "link add link {PARENT} name {SHIM} type {kind}\n\
             addr add {SHIM_V4}/32 dev {SHIM}\nlink set {SHIM} up\n"
        );
        let routes = (0..self.children)
            .map(|child| format!("route add {}/32 dev {SHIM} src {SHIM_V4}\n", v4(child)));
        let lines: String = std::iter::once(device).chain(routes).collect();
        self.host.ip(&lines)?;
        long_lived(&self.host, SHIM)
    }

    /// Gives each child an address whose group all of them are in.
    pub(super) fn join_one_group(&self) -> Result<()> {
        for device in 0..self.devices() {
            let (netns, name) = self.child(device)?;
            let address = shared_group(device);
            netns.ip(&format!("addr add {address}/64 dev {name} nodad\n"))?;
        }
        Ok(())
    }

    fn connect(&self, device: u32) -> Result<()> {
        let (netns, name) = self.child(device)?;
        let reference = netns.reference();
        let mac = colons(own_mac(device));
        self.host.ip(&match self.kind {
            Kind::Ipvlan(mode) => format!(
                "link add link {PARENT} name {name} netns {reference} type ipvlan mode {mode}\n"
            ),
            Kind::Macvlan => format!(
                "link add link {PARENT} name {name} netns {reference} address {mac} type macvlan mode bridge\n"
            ),
            Kind::Bridge => format!(
                "link add v{device} type veth peer name {name} netns {reference} address {mac}\n\
                 link set v{device} up\nlink set v{device} master br0\n"
            ),
            Kind::Routed => format!(
                "link add v{device} address {} type veth peer name {name} netns {reference} address {mac}\n\
                 link set v{device} up\naddr add {ROUTER}/32 dev v{device}\n\
                 route add {}/32 dev v{device}\n",
                colons(ROUTER_MAC),
                v4(device)
            ),
        })?;
        let own = (device..self.children).step_by(usize::try_from(self.devices())?);
        let addresses = own.map(|child| {
            let [prefix, prefix6] = if child == device && self.kind != Kind::Routed {
                [16, 64]
            } else {
                [32, 128]
            };
            format!(
                "addr add {}/{prefix} dev {name}\naddr add {}/{prefix6} dev {name} nodad\n",
                v4(child),
                v6(child)
            )
        });
        let routes = match self.kind {
            Kind::Routed => {
                format!(
                    "route add {ROUTER} dev {name}\nroute add default via {ROUTER} dev {name}\n"
                )
            }
            Kind::Ipvlan(_) | Kind::Macvlan | Kind::Bridge => String::new(),
        };
        let up = format!("link set {name} up\n{}", link_local(&name, 16 + device));
        let lines: String = std::iter::once(up)
            .chain(addresses)
            .chain([routes])
            .collect();
        netns.ip(&lines)
    }

    /// A neighbour that was found once stays known.
    fn patient(&self) -> Result<()> {
        long_lived(&self.lan, LAN)?;
        let own = if self.kind == Kind::Bridge {
            "br0"
        } else {
            PARENT
        };
        long_lived(&self.host, own)?;
        for device in 0..self.children.min(DEVICES) {
            let (netns, name) = self.child(device)?;
            long_lived(netns, &name)?;
            if self.kind == Kind::Routed {
                long_lived(&self.host, &format!("v{device}"))?;
            }
        }
        Ok(())
    }
}

/// Makes the LAN and the host: a cable between them, with the MACs of both ends, and no addresses.
pub(crate) fn cable(lab: &Lab) -> Result<[Netns; 2]> {
    let (lan, host) = (lab.netns("lan")?, lab.netns("host")?);
    for netns in [&lan, &host] {
        netns.quiet()?;
    }
    connect(&host, PARENT, &lan, LAN)?;
    for (netns, device, mac) in [(&lan, LAN, LAN_MAC), (&host, PARENT, PARENT_MAC)] {
        netns.ip(&format!("link set {device} address {}\n", colons(mac)))?;
    }
    Ok([lan, host])
}

/// Returns a statistic of the driver of `device`, such as `rx` `packets`.
pub(super) fn packets(netns: &Netns, device: &str, direction: &str, what: &str) -> Result<u64> {
    let mut command = Command::new("ip");
    command.args(["-s", "-j", "link", "show", "dev", device]);
    let shown: Value = serde_json::from_str(&netns.command(&mut command, "")?)?;
    shown[0]["stats64"][direction][what]
        .as_u64()
        .with_context(|| format!("`ip -s -j link` shows no {direction} {what}"))
}

/// Returns the address of a child.
pub(super) fn address_of(child: u32, family: Family) -> IpAddr {
    match family {
        Family::V4 => v4(child).into(),
        Family::V6 => v6(child).into(),
    }
}

/// Returns the address of the station on the LAN.
pub(super) fn lan_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => LAN_V4.into(),
        Family::V6 => LAN_V6.into(),
    }
}

fn name(device: u32) -> String {
    format!("c{device}")
}

fn own_mac(device: u32) -> [u8; 6] {
    let [.., high, low] = device.to_be_bytes();
    [2, 0x77, 0, 1, high, low]
}

fn address(device: &str, v4: Ipv4Addr, v6: Ipv6Addr, number: u32) -> String {
    format!(
        "addr add {v4}/16 dev {device}\naddr add {v6}/64 dev {device} nodad\n{}",
        link_local(device, number)
    )
}

/// Who has none asks nobody.
fn link_local(device: &str, number: u32) -> String {
    format!("addr add fe80::77:{number:x}/64 dev {device} nodad\n")
}

fn long_lived(netns: &Netns, device: &str) -> Result<()> {
    netns.neighbour_sysctls(
        device,
        &[
            ("base_reachable_time_ms", "3600000"),
            ("delay_first_probe_time", "3600"),
        ],
    )
}
