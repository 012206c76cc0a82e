//! From a link to an attached, empty datapath.

use std::collections::BTreeSet;

use ipvlan_common::Reason;
use tracing::info;

use super::{Parent, Serving};
use crate::{
    agent::{AgentError, Settings, system},
    attach::Datapath,
    discover::DiscoverError,
    facts::Link,
    lan::{Adopted, Lan, host_table::HostTable},
    maps::apply::Installed,
    model::{Desired, History},
    runtime::Claim,
};

impl Parent {
    pub(super) fn attach(&self, link: Link, settings: &Settings) -> Result<Serving, AgentError> {
        let claim = Claim::new(
            &settings.runtime_dir,
            self.netns,
            link.name.as_str(),
            link.ifindex,
        )?;
        let failed = |source| AgentError::Attach {
            parent: link.name.to_string(),
            source: Box::new(source),
        };
        let (pins, unpinned) = self.pins(&link, &settings.pins)?;
        // Before anything is attached: it takes a capability of its own.
        let host = HostTable::open(link.ifindex).map_err(DiscoverError::from)?;
        let mut lan = Lan::open(link.ifindex, settings.lan, settings.quotas, host)
            .map_err(system("open a packet socket on the parent"))?;
        let (datapath, mut maps) =
            Datapath::open(link.name.as_str(), link.ifindex, settings.attach, pins)
                .map_err(failed)?;
        lan.attach_ring(maps.take_events())
            .map_err(system("read the events of the programs"))?;
        let children = settings.attach.max_children;
        let installed = if datapath.adopts() {
            info!(
                parent = link.name.as_str(),
                "taking over from an agent before"
            );
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
        Ok(Serving {
            unpinned,
            // Decided by the first update, after what adopted maps hold.
            desired: Desired::default(),
            history: History::default(),
            lan,
            link,
            datapath,
            installed,
            no_room: BTreeSet::new(),
            failure: None,
            _claim: claim,
        })
    }
}
