//! The topology of the field notes, in fresh network namespaces.
//!
//! ```text
//!             lan (bridge br0)
//!      ┌───────────┼──────────────┐
//!   gateway      vm01           host: ens34 ── ipvlan1 … in ns01 ns02 ns03 …
//!                vm01 eth35 ───── host: ens35 ── private1 private2
//!                vm01 eth36 ───── host: ens36 ── vepa1 vepa2
//! ```

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::{
    mode::Mode,
    spot::{
        GATEWAY, HOST, HOST_PRIVATE, HOST_VEPA, LOCAL, NS01, NS01_SECOND, NS02, NS03, NS04, NS05,
        NS07, PRIVATE1, PRIVATE2, Spot, UNNAMED, VEPA1, VEPA2, VM01, VM01_PRIVATE, VM01_VEPA,
    },
};
use crate::{lab::Lab, netlink::Netlink, netns::Netns};

/// The parents an agent is to be attached to.
pub const PARENTS: [&str; 3] = [HOST.device, HOST_PRIVATE.device, HOST_VEPA.device];

const NAMED: [&str; 17] = [
    "lan", "gateway", "vm01", "host", "ns01", "ns02", "ns03", "ns04", "ns05", "ns07", "ns08",
    "ns09", "ns10", "private1", "private2", "vepa1", "vepa2",
];

struct Child<'a> {
    parent: &'static str,
    flag: &'static str,
    spot: &'a Spot,
}

const CHILDREN: [Child<'static>; 10] = [
    Child {
        parent: HOST.device,
        flag: "",
        spot: &NS01,
    },
    Child {
        parent: HOST.device,
        flag: "",
        spot: &NS02,
    },
    Child {
        parent: HOST.device,
        flag: "",
        spot: &NS03,
    },
    Child {
        parent: HOST.device,
        flag: "",
        spot: &NS04,
    },
    Child {
        parent: HOST.device,
        flag: "",
        spot: &UNNAMED,
    },
    Child {
        parent: HOST.device,
        flag: "",
        spot: &NS07,
    },
    Child {
        parent: HOST_PRIVATE.device,
        flag: "private",
        spot: &PRIVATE1,
    },
    Child {
        parent: HOST_PRIVATE.device,
        flag: "private",
        spot: &PRIVATE2,
    },
    Child {
        parent: HOST_VEPA.device,
        flag: "vepa",
        spot: &VEPA1,
    },
    Child {
        parent: HOST_VEPA.device,
        flag: "vepa",
        spot: &VEPA2,
    },
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
        let mut netns = make_all(lab)?;
        netns.insert(UNNAMED.netns, lab.unnamed_netns(UNNAMED.netns)?);
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
    #[must_use]
    pub fn ens34(&self) -> [u8; 6] {
        self.ens34
    }

    /// Forgets every neighbour in every netns.
    pub fn flush_neighbours(&self) -> Result<()> {
        self.netns
            .values()
            .try_for_each(|netns| netns.run(|| Netlink::open()?.flush_neighbours()))
    }

    /// Creates the child of `spot` in the host's netns, moves it to its own and configures it.
    pub fn add_child(&self, spot: &Spot) -> Result<()> {
        self.at(HOST.netns)?.ip(&self.moved_in(&Child {
            parent: HOST.device,
            flag: "",
            spot,
        })?)?;
        self.configure(spot)
    }

    /// Adds a child that stays in the host's netns, like the field notes' `ipvlan0`.
    ///
    /// Packets from the LAN come in by it and would leave by the parent, so strict reverse path
    /// filter has to be off for it.
    pub fn add_local_child(&self) -> Result<()> {
        let host = self.at(HOST.netns)?;
        host.sysctl("ipv4/conf/all/rp_filter", "0")?;
        let Spot {
            device, address, ..
        } = LOCAL;
        host.ip(&format!(
            "link add link {} name {device} type ipvlan mode {}\n\
             addr add {address}/32 dev {device}\n",
            HOST.device, self.mode
        ))?;
        host.sysctl(&format!("ipv4/conf/{device}/rp_filter"), "2")?;
        host.ip(&format!("link set {device} up\n"))
    }

    /// Gives the child of `spot` its address, brings it up and sets its default route.
    pub fn configure(&self, spot: &Spot) -> Result<()> {
        let Spot {
            device, address, ..
        } = spot;
        let route = match self.mode {
            Mode::L2 => format!("via {} dev {device}", spot.gateway()),
            Mode::L3 | Mode::L3s => format!("dev {device}"),
        };
        self.at(spot.netns)?.ip(&format!(
            "addr add {address}/24 dev {device}\n\
             link set {device} up\n\
             route add default {route}\n"
        ))
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
        let mut batch = Vec::new();
        for address in [GATEWAY.address, NS03.gateway(), NS04.gateway()] {
            batch.push(format!("addr add {address}/24 dev {}\n", GATEWAY.device));
        }
        batch.push(format!("link set {} up\n", GATEWAY.device));
        gateway.ip(&batch.concat())
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
        for child in &CHILDREN {
            batch.push(self.moved_in(child)?);
        }
        // This one is created directly in its netns and never seen in the host's.
        batch.push(format!(
            "link add link {} name {} netns {} type ipvlan mode {}\n",
            HOST.device,
            NS05.device,
            self.at(NS05.netns)?.reference(),
            self.mode
        ));
        self.at(HOST.netns)?.ip(&batch.concat())
    }

    fn configure_children(&self) -> Result<()> {
        for spot in CHILDREN.iter().map(|child| child.spot).chain([&NS05]) {
            self.configure(spot)?;
        }
        self.at(NS01.netns)?.ip(&format!(
            "addr add {}/24 dev {}\n",
            NS01_SECOND.address, NS01.device
        ))?;
        self.at(NS07.netns)?
            .ip(&format!("link set {} down\n", NS07.device))
    }

    /// The lines that create `child` on its parent and move it to its netns.
    fn moved_in(&self, child: &Child<'_>) -> Result<String> {
        let Child {
            parent,
            flag,
            spot: Spot { netns, device, .. },
        } = child;
        Ok(format!(
            "link add link {parent} name {device} type ipvlan mode {} {flag}\n\
             link set {device} netns {}\n",
            self.mode,
            self.at(netns)?.reference()
        ))
    }
}

/// The lines that give each of `spots`, all of one netns, its address and bring it up; the first
/// one gets the default route.
fn up(spots: &[Spot]) -> String {
    let mut batch = Vec::new();
    for Spot {
        device, address, ..
    } in spots
    {
        batch.push(format!(
            "addr add {address}/24 dev {device}\nlink set {device} up\n"
        ));
    }
    batch.push(format!("route add default via {}\n", GATEWAY.address));
    batch.concat()
}

fn make_all(lab: &Lab) -> Result<BTreeMap<&'static str, Netns>> {
    NAMED
        .into_iter()
        .map(|label| Ok((label, lab.netns(label)?)))
        .collect()
}
