//! Which netns there are: processes, bind mounts and nsids in, one [`Netns`] each out.
//!
//! The kernel's list of nsids decides what exists; /proc and /run only show how it is called and
//! which netns still need an nsid. nsids cannot be taken back, so only a netns that may hold a
//! child gets one, and netns of unprivileged users get a bounded number ([`Allowance`]). Our own netns has
//! one too (a dump that meets a child would give it one anyway) and is never mistaken for another.
//!
//! A netns, process or file that cannot be read is left out. Only a missing privilege and a socket
//! that cannot be opened are errors.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::PathBuf,
    time::Instant,
};

use super::{
    DiscoverError,
    allowance::Allowance,
    nsid::{self, Handle},
    walk::{Found, Identity, Walk},
};
use crate::{
    facts::{Netns, NetnsId},
    netlink::{NetlinkError, Rtnl},
};

pub(super) const OWN: &str = "/proc/thread-self/ns/net";
/// Netns that get an nsid when a child may have come to one of them.
const EXPECTED: u32 = 16;

/// The netns known so far.
#[derive(Debug)]
pub(super) struct Netnses {
    own: Identity,
    own_nsid: i32,
    known: BTreeMap<NetnsId, Netns>,
    allowance: Allowance,
}

impl Netnses {
    /// Finds out who we are.
    pub(super) fn new(rtnl: &mut Rtnl) -> Result<Self, DiscoverError> {
        let failed = |source| DiscoverError::File {
            path: OWN.into(),
            source,
        };
        let file = File::open(OWN).map_err(failed)?;
        let own = identity(&file).map_err(failed)?;
        let handle = Handle::Fd(file.as_fd());
        let own_nsid = match nsid::nsid_of(rtnl, handle)? {
            Some(nsid) => Some(nsid),
            None => nsid::assign(rtnl, handle)?,
        };
        let own_nsid = own_nsid.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        Ok(Self {
            own,
            own_nsid,
            known: BTreeMap::new(),
            allowance: Allowance::new(Instant::now()),
        })
    }

    /// Knows nothing but the nsid of our own netns.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn with_own(own_nsid: i32) -> Self {
        Self {
            own: Identity {
                device: 0,
                inode: 0,
            },
            own_nsid,
            known: BTreeMap::new(),
            allowance: Allowance::new(Instant::now()),
        }
    }

    /// Our own netns and every other with an nsid, ordered by id.
    pub(super) fn known(&self) -> impl Iterator<Item = &Netns> {
        self.known.values()
    }

    /// What is known of a netns.
    pub(super) fn get(&self, id: NetnsId) -> Option<&Netns> {
        self.known.get(&id)
    }

    /// The nsid of our own netns.
    pub(super) const fn own_nsid(&self) -> i32 {
        self.own_nsid
    }

    /// How to name the netns with this nsid.
    pub(super) const fn id(&self, nsid: i32) -> NetnsId {
        if nsid == self.own_nsid {
            NetnsId::Own
        } else {
            NetnsId::Nsid(nsid)
        }
    }

    /// Looks for netns everywhere, gives an nsid to those that need one.
    pub(super) fn refresh(&mut self, rtnl: &mut Rtnl) -> Result<(), DiscoverError> {
        let walk = Walk::new()?;
        let mut known = BTreeMap::<NetnsId, Netns>::new();
        let mut candidates = Vec::new();
        for (identity, found) in walk.found {
            if identity == self.own {
                add(&mut known, NetnsId::Own, Some(identity), found);
                continue;
            }
            let Some(file) = open(identity, &found.paths) else {
                continue;
            };
            match left_out(nsid::nsid_of(rtnl, Handle::Fd(file.as_fd())))? {
                Some(nsid) => add(&mut known, self.id(nsid), Some(identity), found),
                None => candidates.push((Some(identity), found)),
            }
        }
        for pid in walk.opaque {
            let found = Found {
                pids: pid.into(),
                ..Found::default()
            };
            match left_out(nsid::nsid_of(rtnl, Handle::Pid(pid)))? {
                Some(nsid) => add(&mut known, self.id(nsid), None, found),
                None => candidates.push((None, found)),
            }
        }
        for (identity, found) in self.allowance.choose(Instant::now(), candidates) {
            if let Some(nsid) = self.assign(rtnl, identity, &found)? {
                add(&mut known, self.id(nsid), identity, found);
            }
        }
        self.known = known;
        self.recheck(rtnl)
    }

    /// Gives an nsid to a netns that had none a moment ago; none if it is gone or cannot hold a child.
    fn assign(
        &mut self,
        rtnl: &mut Rtnl,
        identity: Option<Identity>,
        found: &Found,
    ) -> Result<Option<i32>, DiscoverError> {
        let file = identity.and_then(|identity| open(identity, &found.paths));
        let handle = match (&file, found.pids.lowest()) {
            (Some(file), _) => Handle::Fd(file.as_fd()),
            (None, Some(pid)) if identity.is_none() => Handle::Pid(pid),
            _ => return Ok(None),
        };
        // Another process of the same netns may have led to it.
        if let Some(nsid) = left_out(nsid::nsid_of(rtnl, handle))? {
            return Ok(Some(nsid));
        }
        if !self.allowance.allows(found) || !found.pids.lowest().is_none_or(may_hold_child) {
            return Ok(None);
        }
        self.allowance.spend(found);
        Ok(left_out(nsid::assign(rtnl, handle))?)
    }

    /// A child may have come to a netns without an nsid: a few more of them get one.
    pub(super) fn expect_child(&mut self) {
        self.allowance.add(EXPECTED);
    }

    /// Forgets the netns that are gone, learns of those that have got an nsid meanwhile.
    pub(super) fn recheck(&mut self, rtnl: &mut Rtnl) -> Result<(), DiscoverError> {
        let mut ids: BTreeSet<_> = nsid::all(rtnl)?
            .into_iter()
            .map(|nsid| self.id(nsid))
            .collect();
        ids.insert(NetnsId::Own);
        self.known.retain(|id, _| ids.contains(id));
        for id in ids {
            self.known.entry(id).or_insert_with(|| Netns {
                id,
                ..Netns::default()
            });
        }
        Ok(())
    }
}

/// Adds what was found of a netns to what is known of it.
fn add(
    known: &mut BTreeMap<NetnsId, Netns>,
    id: NetnsId,
    identity: Option<Identity>,
    found: Found,
) {
    let netns = known.entry(id).or_default();
    netns.id = id;
    netns.inode = netns.inode.or(identity.map(|identity| identity.inode));
    netns.pids.extend(found.pids);
    netns.names.extend(found.names);
    netns.files.extend(found.files);
}

/// What cannot be read of another netns is left out; a failure of our own is an error.
fn left_out<T>(answer: Result<Option<T>, NetlinkError>) -> Result<Option<T>, NetlinkError> {
    match answer {
        Err(error) if !error.is_own() && !error.is_denied() => {
            tracing::debug!("a network namespace is left out: {error}");
            Ok(None)
        }
        answer => answer,
    }
}

/// Opens a netns by the first of these paths that leads to it; none if it is gone.
pub(super) fn open(expected: Identity, paths: &[PathBuf]) -> Option<File> {
    paths.iter().find_map(|path| {
        // A path may lead to something else by now, at which opening must not wait.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .ok()?;
        identity(&file)
            .is_ok_and(|identity| identity == expected)
            .then_some(file)
    })
}

/// Whether the netns of this process holds any link but `lo`; if that cannot be read, it may.
pub(super) fn may_hold_child(pid: i32) -> bool {
    // The first links are enough, however many there are.
    const ENOUGH: u64 = 1024;
    let mut links = Vec::new();
    File::open(format!("/proc/{pid}/net/dev"))
        .and_then(|file| file.take(ENOUGH).read_to_end(&mut links))
        .map_or(true, |_| holds_more_than_lo(&links))
}

fn holds_more_than_lo(links: &[u8]) -> bool {
    const HEADER_LINES: usize = 2;
    links
        .split(|&byte| byte == b'\n')
        .skip(HEADER_LINES)
        .filter(|line| line.contains(&b':'))
        .any(|line| !line.trim_ascii_start().starts_with(b"lo:"))
}

pub(super) fn identity(file: &File) -> io::Result<Identity> {
    let metadata = file.metadata()?;
    Ok(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

#[cfg(test)]
mod tests {
    use super::holds_more_than_lo;

    const HEADER: &str = "Inter-| Receive | Transmit\n face |bytes |bytes\n";

    #[test]
    fn only_lo_is_nothing() {
        for (links, more) in [
            (&b""[..], false),
            (b"    lo: 0 0\n", false),
            (b"    lo: 0 0\n  eth0: 0 0\n", true),
            (b"    lo: 0 0\n\xff: 0 0\n", true),
            (b"    lo: 0 0\n  eth0: 0", true),
            (b"   lo1: 0 0\n", true),
        ] {
            let all = [HEADER.as_bytes(), links].concat();
            assert_eq!(holds_more_than_lo(&all), more, "{all:?}");
        }
    }
}
