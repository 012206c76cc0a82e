//! `ipvlan cleanup`

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    time::{Duration, Instant},
};

use nix::net::if_::{if_nameindex, if_nametoindex};

use super::find_places;
use crate::{
    attach::remove_filters,
    cli::CleanupArgs,
    config::Places,
    directory::{Directory, Guard},
    exit::Failure,
    pins::{PinError, PinName, PinRoot},
    runtime,
    text::{chain, printable},
};

/// How long to wait for an agent that starts.
const PATIENCE: Duration = Duration::from_secs(4);

/// The cleanup is not complete.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// A running agent serves a parent.
    #[error("an agent serves `{}`{}: nothing of it was removed", printable(parent), pid(*owner))]
    Served {
        /// Name of the parent.
        parent: String,
        /// Process id of the agent.
        owner: Option<u32>,
    },
    /// There is no interface of this name, and nothing is pinned for one.
    #[error(
        "there is no interface `{}` in this network namespace, and nothing is pinned for one",
        printable(name)
    )]
    Missing {
        /// The name.
        name: String,
        /// Names of the interfaces that there are.
        known: Vec<String>,
    },
}

fn pid(owner: Option<u32>) -> String {
    owner.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

impl CleanupError {
    /// Returns what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Served { .. } => {
                "stop the agent first, for example with `systemctl stop ipvlan`".to_owned()
            }
            Self::Missing { known, .. } => format!("interfaces here: {}", known.join(", ")),
        }
    }
}

/// Removes what is left behind by agents that no longer run: pinned links and maps, filters, the qdisc if an agent
/// added it, stale files. A parent that an agent serves stays, and is an error. An error does not end the cleanup.
pub fn cleanup(args: CleanupArgs) -> Result<(), Failure> {
    let CleanupArgs { iface, find } = args;
    let interfaces: Vec<String> = iface.into_iter().map(String::from).collect();
    let Places {
        pin_dir,
        runtime_dir,
    } = find_places(find)?;
    let netns = runtime::own_netns().map_err(Failure::system("read the network namespace"))?;
    let mut removed = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    let mut served = BTreeSet::new();
    // Parents whose qdisc another process added.
    let mut foreign = BTreeSet::new();
    // Requested parents that have pins.
    let mut pinned: Vec<PinName> = Vec::new();

    let root = PinRoot::find(&pin_dir).and_then(|root| match root {
        Some(root) => root.names().map(|names| Some((root, names))),
        None => Ok(None),
    });
    let root = root.unwrap_or_else(|failure| {
        failures.push(failure.into());
        None
    });
    if let Some((root, names)) = root {
        for name in names {
            if !is_meant(&name, netns, &interfaces) {
                continue;
            }
            pinned.push(name.clone());
            match unpin(&root, &name) {
                Ok(Some((objects, qdisc_is_ours))) => {
                    removed.push(format!("{}: {objects} pinned objects", name.parent));
                    if !qdisc_is_ours && name.netns == netns {
                        foreign.insert(name.ifindex);
                    }
                }
                Ok(None) => {}
                Err(failure) => {
                    served.insert(name.ifindex);
                    failures.push(failure);
                }
            }
        }
        root.remove_if_empty();
    }
    let (runtime, links) = match Directory::find(&runtime_dir) {
        Ok(runtime) => (runtime, links(&interfaces)?),
        // Agents may run that cannot be seen.
        Err(failure) => {
            failures.push(failure.into());
            (None, Vec::new())
        }
    };
    // No agent starts meanwhile.
    let guard = runtime
        .as_ref()
        .map(|directory| Guard::new(directory, Instant::now() + PATIENCE));
    let guard = guard.transpose().unwrap_or_else(|failure| {
        failures.push(failure.into());
        None
    });
    for (name, ifindex) in links {
        if served.contains(&ifindex) {
            continue;
        }
        let is_foreign = foreign.contains(&ifindex);
        match unfilter(runtime.as_ref(), netns, &name, ifindex, !is_foreign) {
            Ok(0) => {}
            Ok(filters) => removed.push(format!("{name}: {filters} filters")),
            Err(failure) => failures.push(failure),
        }
    }
    if let Some(directory) = &runtime {
        let errors = runtime::remove_stale(directory);
        failures.extend(errors.into_iter().map(Failure::from));
        drop(guard);
        directory.remove_if_empty();
    }
    let all = if_nameindex().map_err(Failure::system("list the interfaces"))?;
    let known: Vec<String> = all
        .iter()
        .map(|link| link.name().to_string_lossy().into_owned())
        .collect();
    for name in &interfaces {
        if !known.contains(name) && !pinned.iter().any(|of| of.is_called(name)) {
            let (name, known) = (name.clone(), known.clone());
            failures.push(CleanupError::Missing { name, known }.into());
        }
    }
    // Where something failed, the error says what is left.
    if !removed.is_empty() || failures.is_empty() {
        say(&removed)?;
    }
    let mut failures = failures.into_iter();
    match failures.next() {
        None => Ok(()),
        Some(first) => {
            for other in failures {
                tracing::error!("{}", chain(&other));
            }
            Err(first)
        }
    }
}

/// Returns whether this is a requested parent. One that is gone is known by the name that it had.
fn is_meant(name: &PinName, netns: u64, interfaces: &[String]) -> bool {
    interfaces.is_empty()
        || interfaces.iter().any(|interface| {
            let ifindex = if_nametoindex(interface.as_str());
            let by_index = (name.netns, Ok(name.ifindex)) == (netns, ifindex);
            by_index || (ifindex.is_err() && name.is_called(interface))
        })
}

/// Returns how many objects were removed, and whether an agent added the qdisc of the parent; none if another process
/// removed them first.
fn unpin(root: &PinRoot, name: &PinName) -> Result<Option<(usize, bool)>, Failure> {
    let pins = match root.open_to_remove(name) {
        Ok(Some(pins)) => pins,
        Ok(None) => return Ok(None),
        Err(PinError::Taken { owner, .. }) => {
            return Err(CleanupError::Served {
                parent: name.parent.clone(),
                owner,
            }
            .into());
        }
        Err(failure) => return Err(failure.into()),
    };
    let qdisc_is_ours = pins.has_clsact_mark();
    Ok(Some((pins.remove()?, qdisc_is_ours)))
}

/// Removes the filters of an interface that no agent serves. Returns how many there were.
fn unfilter(
    runtime: Option<&Directory>,
    netns: u64,
    name: &str,
    ifindex: u32,
    with_qdisc: bool,
) -> Result<usize, Failure> {
    if let Some(directory) = runtime
        && let Some(owner) = runtime::owner(directory, netns, ifindex)?
    {
        return Err(CleanupError::Served {
            parent: name.to_owned(),
            owner,
        }
        .into());
    }
    Ok(remove_filters(name, ifindex, with_qdisc)?)
}

/// Returns the interfaces of the current netns that may have filters of an agent.
fn links(interfaces: &[String]) -> Result<Vec<(String, u32)>, Failure> {
    let all = if_nameindex().map_err(Failure::system("list the interfaces"))?;
    Ok(all
        .iter()
        .map(|link| (link.name().to_string_lossy().into_owned(), link.index()))
        .filter(|(name, _)| interfaces.is_empty() || interfaces.contains(name))
        .collect())
}

fn say(removed: &[String]) -> Result<(), Failure> {
    let text = if removed.is_empty() {
        "nothing to clean up\n".to_owned()
    } else {
        format!("removed {}\n", printable(&removed.join(", ")))
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Failure::system("write to standard output")),
    }
}
