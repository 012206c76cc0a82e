//! Names of network namespaces: the container, machine or service that the processes of each belong to.
//!
//! [`cgroup`] is pure; the rest reads `/proc`, `/var/log/pods`, `/var/log/containers` and `/var/lib/docker`. Names are
//! looked up when a client requests a status, never for a sync, and on a thread of their own. Whatever is in these
//! files, a lookup ends: each file is read up to a limit, and all of a request within [`TIME`]. What cannot be read,
//! or is not what it should be, gives a shorter name and no error.
//!
//! Names are untrusted text. They leave this room escaped and capped.

pub mod cgroup;
mod process;
mod runtimes;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use self::{
    process::{Processes, Stat},
    runtimes::{Lookup, Places},
};
use crate::{
    facts::Pids,
    protocol::{Container, Runtime},
    text::escaped_start,
};

/// How many bytes of a name are shown. A pod has 253 at most, most others 64.
const LONGEST: usize = 128;
/// How long a name is kept. A container can be renamed, and a process can be moved to another cgroup.
const KEPT: Duration = Duration::from_secs(10);
/// How many names are kept.
const MOST: usize = 4096;
/// How long a request looks for names. Those of further netns are missing in its answer.
pub const TIME: Duration = Duration::from_millis(500);

/// What is known of a netns by one of its processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The process.
    pub pid: i32,
    /// The program that it runs, as it calls itself.
    pub comm: Option<String>,
    /// The container or service that it belongs to.
    pub container: Option<Container>,
}

/// Looks up names, and keeps them for a while. Clones share what is kept.
#[derive(Clone, Debug)]
pub struct Names(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    processes: Processes,
    places: Places,
    /// By nsid.
    kept: Mutex<BTreeMap<i32, Kept>>,
}

#[derive(Clone, Debug)]
struct Kept {
    name: Name,
    /// When the process started, in clock ticks since boot: no two processes have both this and the id.
    start: u64,
    until: Instant,
}

impl Names {
    /// Reads below this root directory: `/`, but for tests.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self(Arc::new(Inner {
            processes: Processes::new(root.join("proc")),
            places: Places::below(root),
            kept: Mutex::default(),
        }))
    }

    /// Returns the names of netns, by nsid, within about [`TIME`]. `wanted` has processes that were seen in each. An id
    /// may belong to another process by now: a process counts only if `nsid_of`, which returns the nsid of the netns
    /// of a process, still finds it there. Blocking. Names of netns that are not wanted are no longer kept.
    pub fn look_up(
        &self,
        wanted: &BTreeMap<i32, Pids>,
        nsid_of: &mut dyn FnMut(i32) -> Option<i32>,
    ) -> BTreeMap<i32, Name> {
        let Inner {
            processes,
            places,
            kept,
        } = &*self.0;
        let now = Instant::now();
        let lookup = Lookup::new(places, processes);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|nsid, of| wanted.contains_key(nsid) && now < of.until);
        let mut names = BTreeMap::new();
        for (&nsid, pids) in wanted {
            if now.elapsed() >= TIME {
                break;
            }
            let valid = kept.get(&nsid).filter(|of| {
                let stat = processes.stat(of.name.pid);
                pids.iter().any(|pid| pid == of.name.pid)
                    && stat.is_some_and(|stat| stat.start == of.start)
            });
            if let Some(valid) = valid {
                names.insert(nsid, valid.name.clone());
                continue;
            }
            kept.remove(&nsid);
            let mut lives_there = |pid| nsid_of(pid) == Some(nsid);
            let Some((name, start)) = find(processes, &lookup, *pids, &mut lives_there) else {
                continue;
            };
            if kept.len() < MOST {
                let until = now + KEPT;
                let name = name.clone();
                kept.insert(nsid, Kept { name, start, until });
            }
            names.insert(nsid, name);
        }
        names
    }
}

/// Returns the name by the oldest process of a container; without one, by the oldest of a service; without one, by the
/// oldest. With it the start of the process.
fn find(
    processes: &Processes,
    lookup: &Lookup<'_>,
    pids: Pids,
    lives_there: &mut dyn FnMut(i32) -> bool,
) -> Option<(Name, u64)> {
    let mut by_age: Vec<(Stat, i32)> = pids
        .iter()
        .filter_map(|pid| Some((processes.stat(pid)?, pid)))
        .collect();
    by_age.sort_unstable();
    let mut best: Option<(Name, u64)> = None;
    for (stat, pid) in by_age {
        if !lives_there(pid) {
            continue;
        }
        let container = processes
            .cgroup(pid)
            .and_then(|text| container(&text, lookup, pid));
        let comm = processes.comm(pid).map(|comm| shown(&comm));
        // Another process can have got the id between two reads.
        if processes
            .stat(pid)
            .is_none_or(|now| now.start != stat.start)
        {
            continue;
        }
        let rank = |of: Option<&Container>| match of {
            None => 0,
            Some(of) if of.runtime == Runtime::Systemd => 1,
            Some(_) => 2,
        };
        let name = Name {
            pid,
            comm,
            container,
        };
        let of_name = rank(name.container.as_ref());
        if best
            .as_ref()
            .is_none_or(|(best, _)| rank(best.container.as_ref()) < of_name)
        {
            best = Some((name, stat.start));
        }
        if of_name == 2 {
            break;
        }
    }
    best
}

fn container(text: &[u8], lookup: &Lookup<'_>, pid: i32) -> Option<Container> {
    let member = cgroup::parse(text)?;
    let name = lookup.name(&member, pid);
    let pod = member.pod_uid.as_deref().and_then(|uid| lookup.pod(uid));
    Some(Container {
        runtime: member.runtime.into(),
        id: member.id,
        name,
        pod,
        pod_uid: member.pod_uid,
    })
}

/// Returns untrusted bytes as they are shown.
fn shown(bytes: &[u8]) -> String {
    escaped_start(bytes, LONGEST)
}

#[cfg(test)]
mod tests;
