//! The topology of the field notes, in fresh network namespaces.
//!
//! ```text
//!             lan (bridge br0)
//!      ┌───────────┼──────────────┐
//!   gateway      vm01           host: ens34 ── ipvlan1 … in ns01 ns02 ns03 …
//!                vm01 eth35 ───── host: ens35 ── private1 private2
//!                vm01 eth36 ───── host: ens36 ── vepa1 vepa2
//! ```

use std::{collections::BTreeMap, thread};

use anyhow::{Context, Result, anyhow};

use super::{
    mode::Mode,
    spot::{
        GATEWAY, HOST, HOST_PRIVATE, HOST_VEPA, NS01, NS01_SECOND, NS02, NS03, NS04, NS05, NS07,
        PRIVATE1, PRIVATE2, Spot, UNNAMED, VEPA1, VEPA2, VM01, VM01_PRIVATE, VM01_VEPA,
    },
};
use crate::{
    lab::{Lab, connect},
    netns::Netns,
};

/// The parents an agent is to be attached to.
pub const PARENTS: [&str; 3] = [HOST.device, HOST_PRIVATE.device, HOST_VEPA.device];

const NAMED: [&str; 17] = [
    "lan", "gateway", "vm01", "host", "ns01", "ns02", "ns03", "ns04", "ns05", "ns07", "ns08",
    "ns09", "ns10", "private1", "private2", "vepa1", "vepa2",
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
        world.lay_isolated_links()?;
        world.add_children()?;
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
        thread::scope(|scope| {
            let flushes: Vec<_> = self
                .netns
                .values()
                .map(|netns| scope.spawn(|| netns.ip("neigh flush all\n")))
                .collect();
            for flush in flushes {
                flush
                    .join()
                    .map_err(|_| anyhow!("flushing neighbours panicked"))??;
            }
            Ok(())
        })
    }

    /// Creates the child of `spot` on `parent` in the host's netns, moves it and configures it.
    pub fn add_child(&self, parent: &str, spot: &Spot, flag: &str) -> Result<()> {
        let netns = self.at(spot.netns)?;
        let Spot { device, .. } = spot;
        self.at(HOST.netns)?.ip(&format!(
            "link add link {parent} name {device} type ipvlan mode {} {flag}\n\
             link set {device} netns {}\n",
            self.mode,
            netns.reference()
        ))?;
        self.configure(spot)
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

    fn lay_lan(&self) -> Result<()> {
        let lan = self.at("lan")?;
        lan.ip("link add br0 type bridge\nlink set br0 up\n")?;
        for (spot, port) in [(&GATEWAY, "gateway"), (&VM01, "vm01"), (&HOST, "host")] {
            connect(lan, port, self.at(spot.netns)?, spot.device)?;
            lan.ip(&format!("link set {port} master br0\n"))?;
        }
        let gateway = self.at(GATEWAY.netns)?;
        // Everything it forwards goes back out of the device it came in by.
        gateway.sysctl("ipv4/conf/all/send_redirects", "0")?;
        gateway.sysctl("ipv4/conf/eth0/send_redirects", "0")?;
        gateway.sysctl("ipv4/ip_forward", "1")?;
        gateway.ip(&format!(
            "addr add {}/24 dev eth0\naddr add {}/24 dev eth0\naddr add {}/24 dev eth0\n",
            GATEWAY.address,
            NS03.gateway(),
            NS04.gateway()
        ))?;
        for spot in [&VM01, &HOST] {
            let Spot {
                device, address, ..
            } = spot;
            self.at(spot.netns)?.ip(&format!(
                "addr add {address}/24 dev {device}\nroute add default via {}\n",
                GATEWAY.address
            ))?;
        }
        Ok(())
    }

    fn lay_isolated_links(&self) -> Result<()> {
        for (host, vm01) in [(&HOST_PRIVATE, &VM01_PRIVATE), (&HOST_VEPA, &VM01_VEPA)] {
            connect(
                self.at(host.netns)?,
                host.device,
                self.at(vm01.netns)?,
                vm01.device,
            )?;
            for spot in [host, vm01] {
                let Spot {
                    device, address, ..
                } = spot;
                self.at(spot.netns)?
                    .ip(&format!("addr add {address}/24 dev {device}\n"))?;
            }
        }
        Ok(())
    }

    fn add_children(&self) -> Result<()> {
        for spot in [&NS01, &NS02, &NS03, &NS04, &UNNAMED, &NS07] {
            self.add_child(HOST.device, spot, "")?;
        }
        self.at(NS01.netns)?.ip(&format!(
            "addr add {}/24 dev {}\n",
            NS01_SECOND.address, NS01.device
        ))?;
        self.at(NS07.netns)?
            .ip(&format!("link set {} down\n", NS07.device))?;
        self.add_child_inside(HOST.device, &NS05)?;
        for spot in [&PRIVATE1, &PRIVATE2] {
            self.add_child(HOST_PRIVATE.device, spot, "private")?;
        }
        for spot in [&VEPA1, &VEPA2] {
            self.add_child(HOST_VEPA.device, spot, "vepa")?;
        }
        Ok(())
    }

    /// Creates the child of `spot` directly in its netns: it is never seen in the host's.
    fn add_child_inside(&self, parent: &str, spot: &Spot) -> Result<()> {
        self.at(HOST.netns)?.ip(&format!(
            "link add link {parent} name {} netns {} type ipvlan mode {}\n",
            spot.device,
            self.at(spot.netns)?.reference(),
            self.mode
        ))?;
        self.configure(spot)
    }
}

fn make_all(lab: &Lab) -> Result<BTreeMap<&'static str, Netns>> {
    thread::scope(|scope| {
        let makers: Vec<_> = NAMED
            .into_iter()
            .map(|label| (label, scope.spawn(move || lab.netns(label))))
            .collect();
        makers
            .into_iter()
            .map(|(label, maker)| {
                let netns = maker
                    .join()
                    .map_err(|_| anyhow!("making netns {label} panicked"))??;
                Ok((label, netns))
            })
            .collect()
    })
}
