//! The names of the netns of a status, looked up beside the agent's loop.

use std::collections::BTreeMap;

use tracing::debug;

use crate::{
    discover::ProcessNsids,
    facts::{NetnsId, Pids, Snapshot},
    names::{Name, Names},
    protocol::{Agent, Netns},
    text::chain,
};

/// A status whose netns have no names yet.
pub(super) struct Unnamed {
    status: Agent,
    /// Processes of each netns that is in the status, by nsid.
    processes: BTreeMap<i32, Pids>,
    names: Names,
}

impl Unnamed {
    /// Takes from `snapshot` what is needed to name the netns of `status`.
    pub(super) fn new(mut status: Agent, snapshot: &Snapshot, names: &Names) -> Self {
        let mut processes = BTreeMap::new();
        each_netns(&mut status, &mut |netns| {
            let Some(nsid) = netns.nsid else { return };
            processes.entry(nsid).or_insert_with(|| {
                let known = snapshot.netns(NetnsId::Nsid(nsid));
                known.map_or_else(Pids::default, |known| known.pids)
            });
        });
        Self {
            status,
            processes,
            names: names.clone(),
        }
    }

    /// Returns the status with the names that can be found. Blocking, for about [`crate::names::TIME`] at most.
    pub(super) fn name(self) -> Agent {
        let Self {
            mut status,
            processes,
            names,
        } = self;
        if processes.is_empty() {
            return status;
        }
        let found = match ProcessNsids::new() {
            Ok(mut nsids) => names.look_up(&processes, &mut |pid| nsids.of(pid)),
            Err(failure) => {
                debug!(
                    "network namespaces are shown without names: {}",
                    chain(&failure)
                );
                BTreeMap::new()
            }
        };
        fill(&mut status, &found);
        status
    }
}

fn fill(status: &mut Agent, found: &BTreeMap<i32, Name>) {
    each_netns(status, &mut |netns| {
        if let Some(name) = netns.nsid.and_then(|nsid| found.get(&nsid)) {
            let Name {
                pid,
                comm,
                container,
            } = name;
            netns.pid = Some(*pid);
            netns.comm.clone_from(comm);
            netns.container.clone_from(container);
        }
    });
}

/// Calls `visit` with every netns of a status.
fn each_netns(status: &mut Agent, visit: &mut dyn FnMut(&mut Netns)) {
    for exceeded in &mut status.quotas {
        visit(&mut exceeded.netns);
    }
    for parent in &mut status.parents {
        for child in &mut parent.children {
            visit(&mut child.netns);
        }
        for conflict in &mut parent.conflicts {
            visit(&mut conflict.netns);
            conflict
                .rival
                .netns
                .as_mut()
                .into_iter()
                .for_each(&mut *visit);
        }
        for event in &mut parent.events {
            event.netns.as_mut().into_iter().for_each(&mut *visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Container, Runtime, Status};

    /// Nothing of a status is shown by another name than the rest.
    #[test]
    fn every_netns_of_a_status_is_named() {
        let golden = include_str!("../protocol/tests/schema_1.json");
        let Status { mut agents, .. } = serde_json::from_str(golden).unwrap();
        let mut status = agents.remove(0);
        let mut all = 0;
        each_netns(&mut status, &mut |netns| {
            all += usize::from(netns.nsid == Some(1));
            (netns.comm, netns.container) = (None, None);
        });
        let named = |status: &Agent| {
            let text = serde_json::to_string(status).unwrap();
            text.matches(r#""comm":"named""#).count()
        };
        let of_text = serde_json::to_string(&status).unwrap();
        assert_eq!(of_text.matches(r#""nsid":1,"#).count(), all);
        let name = Name {
            pid: 7,
            comm: Some("named".to_owned()),
            container: Some(Container {
                runtime: Runtime::Docker.into(),
                id: None,
                name: None,
                pod: None,
                pod_uid: None,
            }),
        };
        assert_eq!(named(&status), 0);
        fill(&mut status, &[(2, name.clone())].into());
        assert_eq!(named(&status), 0);
        fill(&mut status, &[(1, name)].into());
        assert_eq!(named(&status), all);
        assert!(all > 5, "{all}");
    }
}
