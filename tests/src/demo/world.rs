//! The topology of the field notes, in fresh network namespaces.
//!
//! ```text
//!             lan (bridge br0)
//!      ┌───────────┼──────────────┐
//!   gateway      vm01           host: ens34 ── ipvlan1 … in ns01 ns02 ns03 …
//!                vm01 eth35 ───── host: ens35 ── private1 private2
//!                vm01 eth36 ───── host: ens36 ── vepa1 vepa2
//! ```

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    detection::{Detection, detections},
    mode::Mode,
    spot::{
        GATEWAY, HOST, HOST_LINK_LOCAL, HOST_PRIVATE, HOST_VEPA, LOCAL, NS01, NS01_LINK_LOCAL,
        NS01_SECOND, NS02, NS02_LINK_LOCAL, NS03, NS04, NS05, NS07, NS11, NS12, PRIVATE1, PRIVATE2,
        Spot, UNNAMED, VEPA1, VEPA2, VM01, VM01_LINK_LOCAL, VM01_PRIVATE, VM01_VEPA,
    },
};
use crate::{
    family::{self, Family, SUBNETS, default_routes},
    lab::Lab,
    netlink::Netlink,
    netns::Netns,
};

/// The parents an agent is to be attached to.
pub const PARENTS: [&str; 3] = [HOST.device, HOST_PRIVATE.device, HOST_VEPA.device];

const NAMED: [&str; 25] = [
    "lan", "gateway", "vm01", "host", "ns01", "ns02", "ns03", "ns04", "ns05", "ns07", "ns08",
    "ns09", "ns10", "ns11", "ns12", "ns13", "ns14", "ns15", "ns16", "ns17", "ns18", "private1",
    "private2", "vepa1", "vepa2",
];
/// Detection takes a second, after a wait of up to another.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// The children that are made on the host and moved to their netns: parent, isolation flag, where.
const CHILDREN: [(&str, &str, Spot); 12] = [
    (HOST.device, "", NS01),
    (HOST.device, "", NS02),
    (HOST.device, "", NS03),
    (HOST.device, "", NS04),
    (HOST.device, "", UNNAMED),
    (HOST.device, "", NS07),
    (HOST.device, "", NS11),
    (HOST.device, "", NS12),
    (HOST_PRIVATE.device, "private", PRIVATE1),
    (HOST_PRIVATE.device, "private", PRIVATE2),
    (HOST_VEPA.device, "vepa", VEPA1),
    (HOST_VEPA.device, "vepa", VEPA2),
];

/// One instance of the topology, in one mode.
#[derive(Debug)]
pub struct World {
    /// The mode of every parent in it.
    pub mode: Mode,
    netns: BTreeMap<&'static str, Netns>,
    ens34: [u8; 6],
}

impl World {
    /// Builds all of it.
    pub fn build(lab: &Lab, mode: Mode) -> Result<Self> {
        let mut netns = BTreeMap::from([(UNNAMED.netns, lab.unnamed_netns(UNNAMED.netns)?)]);
        for label in NAMED {
            netns.insert(label, lab.netns(label)?);
        }
        let mut world = Self {
            mode,
            netns,
            ens34: [0; 6],
        };
        world.lay_lan()?;
        world.configure_gateway()?;
        world.configure_host()?;
        world
            .at(VM01.netns)?
            .ip(&up(&[VM01, VM01_PRIVATE, VM01_VEPA]))?;
        world.configure_children()?;
        for spot in [&VM01_LINK_LOCAL, &HOST_LINK_LOCAL] {
            let (device, v6) = (spot.device, spot.at.v6);
            world
                .at(spot.netns)?
                .ip(&format!("addr add {v6}/64 dev {device}\n"))?;
        }
        world.settle_all()?;
        world.ens34 = world.at(HOST.netns)?.hardware_address(HOST.device)?;
        Ok(world)
    }

    /// The netns called `label`.
    pub fn at(&self, label: &str) -> Result<&Netns> {
        self.netns
            .get(label)
            .with_context(|| format!("no netns {label} in this topology"))
    }

    /// The Ethernet address of the parent and of all its children.
    pub fn ens34(&self) -> [u8; 6] {
        self.ens34
    }

    /// Forgets every neighbour in every netns.
    pub fn flush_neighbours(&self) -> Result<()> {
        self.netns
            .values()
            .try_for_each(|netns| netns.run(|| Netlink::open()?.flush_neighbours()))
    }

    /// Creates the child of `spot` in the host's netns, moves it to its own, configures it and waits
    /// until it may use its addresses.
    pub fn add_child(&self, spot: &Spot, families: &[Family]) -> Result<()> {
        let moved = self.moved_in(HOST.device, "", spot)?;
        self.at(HOST.netns)?.ip(&moved)?;
        self.configure(spot, families)?;
        self.settle(spot.netns)
    }

    /// Deletes the child of `spot`.
    pub fn remove_child(&self, spot: &Spot) -> Result<()> {
        let netns = self.at(spot.netns)?;
        netns.ip(&format!("link del {}\n", spot.device))
    }

    /// Adds a child that stays in the host's netns, like the field notes' `ipvlan0`.
    ///
    /// Packets from the LAN come in by it and would leave by the parent, so strict reverse path
    /// filter has to be off for it.
    pub fn add_local_child(&self) -> Result<()> {
        let host = self.at(HOST.netns)?;
        host.sysctl("ipv4/conf/all/rp_filter", "0")?;
        let device = LOCAL.device;
        host.ip(&format!(
            "link add link {} name {device} type ipvlan mode {}\n",
            HOST.device, self.mode
        ))?;
        host.ip(&LOCAL.at.added_with(device, family::SINGLE, ""))?;
        host.sysctl(&format!("ipv4/conf/{device}/rp_filter"), "2")?;
        host.ip(&format!("link set {device} up\n"))?;
        self.settle(HOST.netns)
    }

    /// Gives the child of `spot` its addresses, brings it up and sets its default routes.
    pub fn configure(&self, spot: &Spot, families: &[Family]) -> Result<()> {
        let device = spot.device;
        let mut batch = vec![format!("link set {device} up\n")];
        for family in families {
            let (address, length) = (spot.address(*family), family.subnet());
            let any = family.unspecified();
            let via = match self.mode {
                Mode::L2 => format!("via {}", spot.gateway().of(*family)),
                Mode::L3 | Mode::L3s => String::new(),
            };
            batch.push(format!(
                "addr add {address}/{length} dev {device}\n\
                 route add {any}/0 {via} dev {device}\n"
            ));
        }
        self.at(spot.netns)?.ip(&batch.concat())
    }

    /// Waits until no address in the netns called `label` is tentative any more.
    pub fn settle(&self, label: &str) -> Result<()> {
        let netns = self.at(label)?;
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let mut all = netns.run(detections)?.into_iter();
            let Some((address, _)) = all.find(|(_, found)| *found == Detection::Tentative) else {
                return Ok(());
            };
            ensure!(
                Instant::now() < deadline,
                "{address} in {label} is still tentative after {SETTLED_WITHIN:?}"
            );
            thread::sleep(POLL);
        }
    }

    /// The bridge and a link from it to everybody on the LAN.
    fn lay_lan(&self) -> Result<()> {
        let mut batch = vec!["link add br0 type bridge\nlink set br0 up\n".to_owned()];
        for spot in [&GATEWAY, &VM01, &HOST] {
            let Spot { netns, device, .. } = spot;
            batch.push(format!(
                "link add {netns} type veth peer name {device} netns {}\n\
                 link set {netns} master br0 up\n",
                self.at(netns)?.reference()
            ));
        }
        self.at("lan")?.ip(&batch.concat())
    }

    fn configure_gateway(&self) -> Result<()> {
        let gateway = self.at(GATEWAY.netns)?;
        // Everything it forwards goes back out of the device it came in by.
        gateway.sysctl("ipv4/conf/all/send_redirects", "0")?;
        gateway.sysctl("ipv4/conf/eth0/send_redirects", "0")?;
        gateway.sysctl("ipv4/ip_forward", "1")?;
        gateway.sysctl("ipv6/conf/all/forwarding", "1")?;
        let device = GATEWAY.device;
        let addresses = [GATEWAY.at, NS03.gateway(), NS04.gateway()]
            .map(|pair| pair.added_with(device, SUBNETS, ""));
        gateway.ip(&format!("{}link set {device} up\n", addresses.concat()))
    }

    /// The host's end of the links to vm01, its addresses, and all children where they belong.
    fn configure_host(&self) -> Result<()> {
        let mut batch = Vec::new();
        for (host, vm01) in [(&HOST_PRIVATE, &VM01_PRIVATE), (&HOST_VEPA, &VM01_VEPA)] {
            batch.push(format!(
                "link add {} type veth peer name {} netns {}\n",
                host.device,
                vm01.device,
                self.at(vm01.netns)?.reference()
            ));
        }
        batch.push(up(&[HOST, HOST_PRIVATE, HOST_VEPA]));
        for (parent, flag, spot) in &CHILDREN {
            batch.push(self.moved_in(parent, flag, spot)?);
        }
        let host = self.at(HOST.netns)?;
        host.ip(&batch.concat())?;
        // This one is created directly in its netns and never seen in the host's.
        let netns = self.at(NS05.netns)?;
        netns.add_ipvlan(host, HOST.device, NS05.device, self.mode.name())
    }

    fn configure_children(&self) -> Result<()> {
        for spot in CHILDREN.iter().map(|(.., spot)| spot).chain([&NS05]) {
            self.configure(spot, &Family::ALL)?;
        }
        let second = NS01_SECOND.at.added_with(NS01.device, SUBNETS, "");
        self.at(NS01.netns)?.ip(&second)?;
        for spot in [&NS01_LINK_LOCAL, &NS02_LINK_LOCAL] {
            let (device, v6) = (spot.device, spot.at.v6);
            self.at(spot.netns)?
                .ip(&format!("addr add {v6}/64 dev {device}\n"))?;
        }
        // The kernel takes the IPv6 addresses from a device that goes down.
        let (device, v6) = (NS07.device, NS07.at.v6);
        self.at(NS07.netns)?.ip(&format!(
            "link set {device} down\naddr add {v6}/64 dev {device}\n"
        ))
    }

    /// Waits until every address of a device that is up can be used.
    fn settle_all(&self) -> Result<()> {
        let up = self.netns.keys().filter(|label| **label != NS07.netns);
        up.into_iter().try_for_each(|label| self.settle(label))
    }

    /// The lines that create the child of `spot` on its parent and move it to its netns.
    fn moved_in(&self, parent: &str, flag: &str, spot: &Spot) -> Result<String> {
        let Spot { netns, device, .. } = spot;
        Ok(format!(
            "link add link {parent} name {device} type ipvlan mode {} {flag}\n\
             link set {device} netns {}\n",
            self.mode,
            self.at(netns)?.reference()
        ))
    }
}

/// The lines that give each of `spots`, all of one netns, its addresses and bring it up; the first
/// one gets the default routes.
fn up(spots: &[Spot]) -> String {
    let line = |Spot { device, at, .. }: &Spot| {
        let addresses = at.added_with(device, SUBNETS, "");
        format!("link set {device} up\n{addresses}")
    };
    let routes = default_routes(spots[0].device, Some(GATEWAY.at));
    spots.iter().map(line).chain([routes]).collect()
}
