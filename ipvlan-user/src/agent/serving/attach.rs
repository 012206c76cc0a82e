//! From a link to an attached, empty datapath.

use std::collections::BTreeSet;

use ipvlan_common::Reason;
use tracing::info;

use super::Serving;
use crate::{
    agent::{AgentError, Settings, error::system, monitor::Written, pins},
    attach::Datapath,
    discover::DiscoverError,
    facts::Link,
    lan::{Adopted, Lan, host_table::HostTable},
    maps::apply::Installed,
    model::{Desired, History},
    runtime::Claim,
};

impl Serving {
    /// Claims a parent of this netns and attaches to it. Its maps are empty, or those of an earlier agent.
    pub(in crate::agent) fn attach(
        link: Link,
        netns: u64,
        settings: &Settings,
    ) -> Result<Self, AgentError> {
        let name = link.name.as_str();
        let claim = Claim::new(&settings.runtime_dir, netns, name, link.ifindex)?;
        let failed = |source| AgentError::attach(name, source);
        let (pins, unpinned) = pins::open(netns, &link, &settings.pins)?;
        // Before anything is attached: it takes a capability of its own.
        let host = HostTable::open(link.ifindex).map_err(DiscoverError::from)?;
        let mut lan = Lan::open(link.ifindex, settings.lan, settings.quotas, host)
            .map_err(system("open a packet socket on the parent"))?;
        let (datapath, mut maps) =
            Datapath::open(name, link.ifindex, settings.attach, pins).map_err(failed)?;
        lan.attach_ring(maps.take_events())
            .map_err(system("read the events of the programs"))?;
        let children = settings.attach.max_children;
        let installed = if datapath.adopts() {
            info!(parent = name, "taking over from an earlier agent");
            let installed =
                Installed::adopt(maps, children).map_err(|error| failed(error.into()))?;
            lan.adopt(Adopted {
                established: installed.established().into_keys().collect(),
                withheld: installed.withheld(Reason::Duplicate),
                unprobed: installed.withheld(Reason::Probing),
                mac: installed
                    .answering_mac()
                    .map_err(|error| failed(error.into()))?,
            });
            installed
        } else {
            Installed::new(maps, children)
        };
        Ok(Self {
            unpinned,
            // Decided by the first update, after what adopted maps hold.
            desired: Desired::default(),
            history: History::default(),
            lan,
            link,
            datapath,
            installed,
            capture: None,
            written: Written::default(),
            no_room: BTreeSet::new(),
            failure: None,
            _claim: claim,
        })
    }
}
