//! Makes a node with real devices.
//!
//! ```text
//!   vm01: eth0 ── lan: br0 ─┬─ host: the parent ── ipvlan1 in "steady" and "unnamed"
//!                           └─ host: m0, a second NIC (or on br1)
//! ```

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    process::Command,
};

use anyhow::Result;

use super::node::{Filter, Foreign, Node, Parent, Policy, Second};
use crate::{
    bpf::{Attached, Hook, Program},
    family::{self, Family, default_routes},
    faults::is_at_least,
    lab::connect,
    netns::Netns,
    rows::site::{GATEWAY, HOST, PARENT, PORT, Pair, Site},
};

/// The second NIC.
const SECOND_NIC: &str = "m0";
/// Addresses of the host beside its main ones.
pub(super) const SECONDARY: Pair = Pair::new(15);
pub(super) const SINGLE: Pair = Pair::new(16);
pub(super) const SECOND: Pair = Pair::new(17);
pub(super) const VIP: Pair = Pair::new(100);
/// The second NIC on another LAN.
pub(super) const OTHER_LAN: Pair = Pair {
    v4: Ipv4Addr::new(172, 16, 92, 17),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0x92, 0, 0, 0, 0, 17),
};

/// Makes the node; no foreign program is attached yet.
pub(super) fn build(node: &Node) -> Result<Site> {
    let site = Site::build_on(node.mode, node.flag, |site| plug(site, node.parent))?;
    set_addresses(&site, node)?;
    set_second(&site, node.second)?;
    set_policy(&site.host, node.policy)?;
    set_sysctls(&site.host, node)?;
    set_filter(&site.host, node.filter)?;
    Ok(site)
}

/// Makes the cables of the parent and of vm01.
fn plug(site: &Site, parent: Parent) -> Result<()> {
    const NIC: &str = "nic0";
    site.lay_lan()?;
    let (host, lan) = (&site.host, &site.lan);
    let nic = if parent == Parent::Nic { PARENT } else { NIC };
    connect(host, nic, lan, PORT)?;
    if matches!(parent, Parent::ActiveBackup | Parent::Alb) {
        connect(host, "nic1", lan, "p-host1")?;
        lan.ip("link set p-host1 master br0\n")?;
    }
    let bond = |mode| {
        format!(
            "link add {PARENT} type bond mode {mode} miimon 50\n\
             link set {NIC} down\n\
             link set nic1 down\n\
             link set {NIC} master {PARENT}\n\
             link set nic1 master {PARENT}\n\
             link set {PARENT} up\n"
        )
    };
    host.ip(&match parent {
        Parent::Nic => String::new(),
        Parent::Vlan => {
            format!("link add link {NIC} name {PARENT} type vlan id 7\nlink set {PARENT} up\n")
        }
        Parent::Bridge => format!(
            "link add {PARENT} type bridge\nlink set {PARENT} up\nlink set {NIC} master {PARENT}\n"
        ),
        Parent::ActiveBackup => bond("active-backup"),
        Parent::Alb => bond("balance-alb"),
    })?;
    lan.ip(&if parent == Parent::Vlan {
        format!(
            "link add link {PORT} name {PORT}.7 type vlan id 7\n\
             link set {PORT}.7 up\n\
             link set {PORT}.7 master br0\n"
        )
    } else {
        format!("link set {PORT} master br0\n")
    })
}

fn set_addresses(site: &Site, node: &Node) -> Result<()> {
    let mut lines = String::new();
    if node.secondary {
        lines += &SECONDARY.added(PARENT);
    }
    if node.single {
        lines += &SINGLE.added_with(PARENT, family::SINGLE, "nodad");
    }
    if node.vip {
        lines += "link add vip0 type dummy\nlink set vip0 up\n";
        lines += &VIP.added_with("vip0", family::SINGLE, "nodad");
    }
    site.host.ip(&lines)
}

fn set_second(site: &Site, second: Second) -> Result<()> {
    const BRIDGE_END: &str = "p-m0";
    if second == Second::None {
        return Ok(());
    }
    let (host, lan) = (&site.host, &site.lan);
    connect(host, SECOND_NIC, lan, BRIDGE_END)?;
    if second == Second::OtherLan {
        lan.ip(&format!(
            "link add br1 type bridge\nlink set br1 up\nlink set {BRIDGE_END} master br1\n"
        ))?;
        return host.ip(&OTHER_LAN.added(SECOND_NIC));
    }
    lan.ip(&format!("link set {BRIDGE_END} master br0\n"))?;
    if second == Second::SameLan {
        return host.ip(&SECOND.added(SECOND_NIC));
    }
    host.ip(&format!(
        "{}{}{}",
        HOST.deleted(PARENT),
        HOST.added(SECOND_NIC),
        default_routes(SECOND_NIC, Some(GATEWAY))
    ))
}

fn set_policy(host: &Netns, policy: Policy) -> Result<()> {
    const TABLE: &str = "100";
    if policy == Policy::None {
        return Ok(());
    }
    for (family, option, subnet) in [
        (Family::V4, "-4", "172.16.91.0/24"),
        (Family::V6, "-6", "2001:db8:91::/64"),
    ] {
        let [from, gateway] = [HOST, GATEWAY].map(|pair| pair.of(family).to_string());
        let ip = |words: &[&str]| {
            let mut command = Command::new("ip");
            command.arg(option).args(words);
            host.command(&mut command, "").map(drop)
        };
        if policy == Policy::Subnet {
            ip(&["route", "add", subnet, "dev", PARENT, "table", TABLE])?;
        }
        ip(&[
            "route", "add", "default", "via", &gateway, "dev", PARENT, "table", TABLE,
        ])?;
        ip(&["rule", "add", "from", &from, "lookup", TABLE])?;
    }
    Ok(())
}

fn set_sysctls(host: &Netns, node: &Node) -> Result<()> {
    let mut devices = vec!["all", "default", PARENT];
    if node.second != Second::None {
        devices.push(SECOND_NIC);
    }
    for device in devices {
        for (key, value) in [
            ("rp_filter", node.rp_filter),
            ("arp_ignore", node.arp_ignore),
            ("arp_announce", node.arp_announce),
            ("proxy_arp", u8::from(node.proxy_arp && device == PARENT)),
        ] {
            host.sysctl(&format!("ipv4/conf/{device}/{key}"), &value.to_string())?;
        }
    }
    if node.proxy_arp {
        host.sysctl("ipv4/ip_forward", "1")?;
        host.sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

fn set_filter(host: &Netns, filter: Filter) -> Result<()> {
    let chain = match filter {
        Filter::None => return Ok(()),
        Filter::Masquerade => {
            format!("type nat hook postrouting priority srcnat\noifname \"{PARENT}\" masquerade")
        }
        Filter::Forward => "type filter hook forward priority filter; policy drop;".to_owned(),
        // ICMP and ICMPv6 by number: the machine has no `/etc/protocols`.
        Filter::Input => "type filter hook input priority filter; policy drop;\n\
                          iifname \"lo\" accept\n\
                          ct state established,related accept\n\
                          meta l4proto { 1, 58 } accept"
            .to_owned(),
    };
    let rules = format!("table inet node {{\nchain one {{\n{chain}\n}}\n}}\n");
    host.command(Command::new("nft").args(["-f", "-"]), &rules)
        .map(drop)
}

/// Programs of someone else on the parent; not there any more when [`Self::detach`]ed or dropped with the node.
#[derive(Debug)]
pub(super) struct Foreigners {
    _links: Vec<Attached>,
    qdisc: bool,
}

impl Foreigners {
    /// Attaches them. Before Linux 6.6 there is no TCX, and nothing is attached in its place.
    pub(super) fn attach(host: &Netns, foreign: Foreign) -> Result<Self> {
        let mut links = Vec::new();
        let qdisc = foreign == Foreign::Accept;
        match foreign {
            Foreign::Next if is_at_least(6, 6)? => {
                for hook in [Hook::Tc, Hook::Egress] {
                    links.push(host.run(|| Program::tc_next(hook)?.attach(PARENT))?);
                }
            }
            Foreign::None | Foreign::Next => {}
            Foreign::Accept => {
                // The agent may have made it.
                let _exists = tc(host, &["qdisc", "add", "dev", PARENT, "clsact"]);
                for hook in ["ingress", "egress"] {
                    tc(
                        host,
                        &[
                            "filter", "add", "dev", PARENT, hook, "prio", "1", "matchall",
                            "action", "ok",
                        ],
                    )?;
                }
            }
            Foreign::Xdp => {
                links.push(host.run(|| Program::xdp_pass()?.attach_generic(PARENT))?);
            }
        }
        Ok(Self {
            _links: links,
            qdisc,
        })
    }

    /// Detaches them; only without an agent, whose filters may be in the same qdisc.
    pub(super) fn detach(self, host: &Netns) -> Result<()> {
        if self.qdisc {
            tc(host, &["qdisc", "del", "dev", PARENT, "clsact"])?;
        }
        Ok(())
    }
}

fn tc(host: &Netns, words: &[&str]) -> Result<()> {
    host.command(Command::new("tc").args(words), "").map(drop)
}
