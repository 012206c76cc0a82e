//! The topology that faults are injected into.
//!
//! ```text
//!   vm01: eth0 ── lan: br0 ── host: ens34 ── ipvlan1 in "steady", "unnamed", "third"; "down" is not up
//! ```
//! The children are in mode l3, where the kernel answers for none of them: who is answered for lives
//! by the agent's programs. The bridge stays when the parent goes, and floods, since every question
//! comes from a MAC of its own.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};

pub(crate) use crate::family::Pair;
use crate::{
    demo::mode::Mode,
    family::default_routes,
    lab::{Lab, connect},
    netns::Netns,
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
    /// Builds it with children in mode l3.
    pub(crate) fn build() -> Result<Self> {
        Self::build_in(Mode::L3, "bridge")
    }

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
        for netns in [&site.host, &site.vm01] {
            netns.sysctl("ipv6/conf/all/accept_dad", "0")?;
            netns.sysctl("ipv6/conf/default/accept_dad", "0")?;
        }
        Ok(site)
    }

    /// Makes the children.
    pub(crate) fn add_children(&self) -> Result<()> {
        for (netns, pair) in [
            (&self.steady, STEADY),
            (&self.unnamed, UNNAMED),
            (&self.third, THIRD),
            (&self.down, DOWN),
        ] {
            self.add_child(netns, pair)?;
        }
        self.down.ip(&format!("link set {CHILD} down\n"))
    }

    /// Removes the children and makes them again, in `mode`.
    pub(crate) fn change_mode(&mut self, mode: Mode) -> Result<()> {
        self.remove_children()?;
        self.mode = mode;
        self.add_children()
    }

    /// Removes the children.
    pub(crate) fn remove_children(&self) -> Result<()> {
        [&self.steady, &self.unnamed, &self.third, &self.down]
            .into_iter()
            .try_for_each(|netns| netns.ip(&format!("link del {CHILD}\n")))
    }

    /// Makes the bridge, and vm01's cable to it.
    pub(crate) fn lay_lan(&self) -> Result<()> {
        connect(&self.vm01, LAN, &self.lan, "p-vm01")?;
        self.lan.ip("link add br0 type bridge\n\
             link set br0 up\n\
             link set p-vm01 master br0\n\
             link set p-vm01 type bridge_slave learning off\n")
    }

    fn configure_station(&self) -> Result<()> {
        let addresses = [VM01, NEIGHBOUR, GATEWAY].map(|pair| pair.added(LAN));
        self.vm01.ip(&addresses.concat())
    }

    /// Makes the parent and its cable; the host's addresses and routes.
    pub(crate) fn plug_parent(&self) -> Result<()> {
        connect(&self.host, PARENT, &self.lan, PORT)?;
        self.lan.ip(&format!(
            "link set {PORT} master br0\nlink set {PORT} type bridge_slave learning off\n"
        ))?;
        self.configure_parent()
    }

    /// Gives the parent its MAC, addresses and routes.
    pub(crate) fn configure_parent(&self) -> Result<()> {
        // Its addresses come back by themselves after it was down.
        self.host
            .sysctl(&format!("ipv6/conf/{PARENT}/keep_addr_on_down"), "1")?;
        self.host.ip(&format!(
            "link set {PARENT} address {}\n{}",
            crate::netns::colons(MAC),
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
        [
            &self.host,
            &self.steady,
            &self.unnamed,
            &self.third,
            &self.down,
        ]
        .into_iter()
        .chain(&self.others)
    }

    /// A netns for a child, known to [`Self::netnses`]; its place in `others`.
    pub(crate) fn add_netns(&mut self, label: &str) -> Result<usize> {
        self.others.push(self.lab.netns(label)?);
        Ok(self.others.len() - 1)
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
