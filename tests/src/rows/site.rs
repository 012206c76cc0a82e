//! The topology of rows.
//!
//! ```text
//!   vm01: eth0 ── lan: br0 ── host: ens34 ── ipvlan1 in "steady", "unnamed", "third"; "down" is not up
//! ```
//! In mode l3, which is that of faults, the kernel answers for no child: every answer is one of the agent's programs. The
//! bridge stays when the parent goes, and floods, since every question of faults comes from a MAC of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};

pub(crate) use crate::family::Pair;
use crate::{
    demo::mode::Mode,
    family::{Family, default_routes},
    lab::{Lab, connect},
    netns::{Netns, colons},
};

/// The parent.
pub(crate) const PARENT: &str = "ens34";
/// What every child of it is called.
pub(crate) const CHILD: &str = "ipvlan1";
/// The device of the LAN.
pub(crate) const LAN: &str = "eth0";
/// The bridge's end of the parent's cable.
pub(crate) const PORT: &str = "p-host";
/// The MAC of the parent.
pub(crate) const MAC: [u8; 6] = [2, 0x34, 0, 0, 0, 1];

impl Pair {
    /// Returns the pair of 172.16.91.0/24 and `2001:db8:91::/64` that ends in `last`.
    pub(crate) const fn new(last: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(172, 16, 91, last),
            v6: Ipv6Addr::new(0x2001, 0xdb8, 0x91, 0, 0, 0, 0, last as u16),
        }
    }
}

/// The machine on the LAN.
pub(crate) const VM01: Pair = Pair::new(10);
/// Another address of it.
pub(crate) const NEIGHBOUR: Pair = Pair::new(20);
/// The host, on the parent.
pub(crate) const HOST: Pair = Pair::new(14);
/// The host's default gateway: vm01 too.
pub(crate) const GATEWAY: Pair = Pair::new(1);
/// A child that no fault is about.
pub(crate) const STEADY: Pair = Pair::new(101);
/// A child that no fault is about, in a netns without a name.
pub(crate) const UNNAMED: Pair = Pair::new(102);
/// The child that things happen to.
pub(crate) const THIRD: Pair = Pair::new(103);
/// A child that is down.
pub(crate) const DOWN: Pair = Pair::new(104);
/// An address that neither the host nor a child has.
pub(crate) const UNOWNED: Pair = Pair::new(199);

/// All of it; gone when dropped.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) lab: Lab,
    pub(crate) lan: Netns,
    pub(crate) vm01: Netns,
    pub(crate) host: Netns,
    pub(crate) steady: Netns,
    pub(crate) unnamed: Netns,
    pub(crate) third: Netns,
    pub(crate) down: Netns,
    /// Netns that a row has made for children of the parent.
    pub(crate) others: Vec<Netns>,
    /// The mode of the children.
    pub(crate) mode: Mode,
    /// The isolation flag of the children, as `ip link` takes it.
    pub(crate) flag: &'static str,
}

impl Site {
    /// Builds it with children in `mode` and with the isolation `flag`.
    pub(crate) fn build_in(mode: Mode, flag: &'static str) -> Result<Self> {
        let site = Self::without_cables(mode, flag)?;
        site.lay_lan()?;
        site.configure_station()?;
        site.plug_parent()?;
        site.add_children()?;
        Ok(site)
    }

    /// Builds it with other cables: `plug` gives vm01 the device [`LAN`] and the host the device [`PARENT`], both up.
    pub(crate) fn build_on(
        mode: Mode,
        flag: &'static str,
        plug: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Self> {
        let site = Self::without_cables(mode, flag)?;
        plug(&site)?;
        site.configure_station()?;
        site.configure_parent()?;
        site.add_children()?;
        Ok(site)
    }

    fn without_cables(mode: Mode, flag: &'static str) -> Result<Self> {
        let lab = Lab::new()?;
        let site = Self {
            lan: lab.netns("lan")?,
            vm01: lab.netns("vm01")?,
            host: lab.netns("host")?,
            steady: lab.netns("steady")?,
            unnamed: lab.unnamed_netns("unnamed")?,
            third: lab.netns("third")?,
            down: lab.netns("down")?,
            others: Vec::new(),
            mode,
            flag,
            lab,
        };
        [&site.host, &site.vm01]
            .into_iter()
            .try_for_each(without_dad)?;
        Ok(site)
    }

    /// The netns of the children, with their addresses.
    fn children(&self) -> [(&Netns, Pair); 4] {
        [
            (&self.steady, STEADY),
            (&self.unnamed, UNNAMED),
            (&self.third, THIRD),
            (&self.down, DOWN),
        ]
    }

    /// Makes the children.
    pub(crate) fn add_children(&self) -> Result<()> {
        for (netns, pair) in self.children() {
            self.add_child(netns, pair)?;
        }
        self.down.ip(&format!("link set {CHILD} down\n"))
    }

    /// Removes the children.
    pub(crate) fn remove_children(&self) -> Result<()> {
        let mut netnses = self.children().into_iter();
        netnses.try_for_each(|(netns, _)| netns.ip(&format!("link del {CHILD}\n")))
    }

    /// Removes the children and makes them again, in `mode`.
    pub(crate) fn change_mode(&mut self, mode: Mode) -> Result<()> {
        self.remove_children()?;
        self.mode = mode;
        self.add_children()
    }

    /// Makes the bridge, and vm01's cable to it.
    pub(crate) fn lay_lan(&self) -> Result<()> {
        self.lan.ip("link add br0 type bridge\nlink set br0 up\n")?;
        self.plug(&self.vm01, LAN, "p-vm01")
    }

    /// Connects `device` of `netns` to the LAN.
    pub(crate) fn plug(&self, netns: &Netns, device: &str, port: &str) -> Result<()> {
        connect(netns, device, &self.lan, port)?;
        self.lan.ip(&format!(
            "link set {port} master br0\nlink set {port} type bridge_slave learning off\n"
        ))
    }

    fn configure_station(&self) -> Result<()> {
        let addresses = [VM01, NEIGHBOUR, GATEWAY].map(|pair| pair.added(LAN));
        self.vm01.ip(&addresses.concat())
    }

    /// Makes the parent and its cable; the host's addresses and routes.
    pub(crate) fn plug_parent(&self) -> Result<()> {
        self.plug(&self.host, PARENT, PORT)?;
        self.configure_parent()
    }

    /// Gives the parent its MAC, addresses and routes.
    pub(crate) fn configure_parent(&self) -> Result<()> {
        // Its addresses come back by themselves after it was down.
        self.host
            .sysctl(&format!("ipv6/conf/{PARENT}/keep_addr_on_down"), "1")?;
        self.host.ip(&format!(
            "link set {PARENT} address {}\n{}",
            colons(MAC),
            HOST.added(PARENT)
        ))?;
        self.route()
    }

    /// Gives the host its default routes, which are lost when the parent goes down.
    pub(crate) fn route(&self) -> Result<()> {
        self.host.ip(&default_routes(PARENT, Some(GATEWAY)))
    }

    /// Makes a child right in `netns` and configures it.
    pub(crate) fn add_child(&self, netns: &Netns, pair: Pair) -> Result<()> {
        self.add_child_of(PARENT, netns, pair)
    }

    /// The same behind another parent.
    pub(crate) fn add_child_of(&self, parent: &str, netns: &Netns, pair: Pair) -> Result<()> {
        let Self { mode, flag, .. } = self;
        netns.add_ipvlan(&self.host, parent, CHILD, &format!("{mode} {flag}"))?;
        configure_child(netns, pair)
    }

    /// Every netns that may hold a child of the parent.
    pub(crate) fn netnses(&self) -> impl Iterator<Item = &Netns> {
        let children = self.children().into_iter().map(|(netns, _)| netns);
        children.chain([&self.host]).chain(&self.others)
    }

    /// Makes a netns for a child, known to [`Self::netnses`]; returns its place in `others`.
    pub(crate) fn add_netns(&mut self, label: &str) -> Result<usize> {
        self.others.push(self.lab.netns(label)?);
        Ok(self.others.len() - 1)
    }

    /// The same with a child that is up and has no address yet.
    pub(crate) fn add_netns_with_child(&mut self, label: &str) -> Result<usize> {
        let place = self.add_netns(label)?;
        let (mode, flag) = (self.mode, self.flag);
        add_child(&self.host, &self.others[place], CHILD, mode, flag)?;
        Ok(place)
    }

    /// Gives single addresses to the child that things happen to; without DAD.
    pub(crate) fn take(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<()> {
        add(&self.third, CHILD, addresses)
    }

    /// The parent's index.
    pub(crate) fn parent_index(&self) -> Result<u32> {
        self.host
            .run(|| nix::net::if_::if_nametoindex(PARENT).context("there is no parent"))
    }
}

/// Brings the child in `netns` up with its addresses and routes.
pub(crate) fn configure_child(netns: &Netns, pair: Pair) -> Result<()> {
    netns.sysctl(&format!("ipv6/conf/{CHILD}/keep_addr_on_down"), "1")?;
    netns.ip(&format!(
        "link set {CHILD} up\n{}{}",
        pair.added(CHILD),
        default_routes(CHILD, None)
    ))
}

/// Makes a child named `device` of the parent of `host` in `netns`, and brings it up.
pub(crate) fn add_child(
    host: &Netns,
    netns: &Netns,
    device: &str,
    mode: Mode,
    flag: &str,
) -> Result<()> {
    netns.add_ipvlan(host, PARENT, device, &format!("{mode} {flag}"))?;
    netns.ip(&format!("link set {device} up\n"))
}

/// Lets addresses of `netns` be used at once.
pub(crate) fn without_dad(netns: &Netns) -> Result<()> {
    netns.sysctl("ipv6/conf/all/accept_dad", "0")?;
    netns.sysctl("ipv6/conf/default/accept_dad", "0")
}

/// Adds single addresses to `device`; without DAD.
pub(crate) fn add(
    netns: &Netns,
    device: &str,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<()> {
    let lines = addresses.into_iter().map(|address| match address {
        IpAddr::V4(_) => format!("addr add {address}/32 dev {device}\n"),
        IpAddr::V6(_) => format!("addr add {address}/128 dev {device} nodad\n"),
    });
    netns.ip(&lines.collect::<String>())
}

/// Removes `address`, which [`add`] has added.
pub(crate) fn delete(netns: &Netns, device: &str, address: IpAddr) -> Result<()> {
    let length = Family::of(address).host();
    netns.ip(&format!("addr del {address}/{length} dev {device}\n"))
}

/// Makes the neighbour entry of `address` on `device` of `netns`, in `state`.
pub(crate) fn set_neighbour(
    netns: &Netns,
    device: &str,
    address: IpAddr,
    mac: [u8; 6],
    state: &str,
) -> Result<()> {
    let mac = colons(mac);
    netns.ip(&format!(
        "neigh replace {address} lladdr {mac} dev {device} nud {state}\n"
    ))
}
