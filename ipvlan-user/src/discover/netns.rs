//! Which netns there are: processes, bind mounts and nsids in, one [`Netns`] each out.
//!
//! The kernel's list of nsids decides what exists; /proc and /run only say how it is called and
//! which netns still need an nsid. nsids cannot be taken back, so only a netns that may hold a
//! child gets one. Our own netns has one too (a dump that meets a child would give it one anyway)
//! and is never mistaken for another.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
};

use super::{
    DiscoverError,
    nsid::{self, Handle},
    rtnl::Rtnl,
    snapshot::{Netns, NetnsId},
    walk::{Found, Identity, Walk},
};

const OWN: &str = "/proc/thread-self/ns/net";

/// The netns known so far.
#[derive(Debug)]
pub(super) struct Netnses {
    own: Identity,
    own_nsid: i32,
    known: BTreeMap<NetnsId, Netns>,
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
        })
    }

    /// Our own netns and every other with an nsid, ordered by id.
    pub(super) fn known(&self) -> impl Iterator<Item = &Netns> {
        self.known.values()
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
        for (identity, found) in walk.found {
            let id = if identity == self.own {
                Some(NetnsId::Own)
            } else {
                self.identify(rtnl, identity, &found)?
            };
            if let Some(id) = id {
                known.insert(
                    id,
                    Netns {
                        id,
                        inode: Some(identity.inode),
                        names: found.names.into_iter().collect(),
                        files: found.files.into_iter().collect(),
                        pid: found.pid,
                    },
                );
            }
        }
        for pid in walk.opaque {
            let Some(nsid) = nsid_or_assign(rtnl, Handle::Pid(pid), Some(pid))? else {
                continue;
            };
            let id = self.id(nsid);
            let netns = known.entry(id).or_default();
            netns.id = id;
            netns.pid = Some(netns.pid.map_or(pid, |known| known.min(pid)));
        }
        self.known = known;
        self.recheck(rtnl)
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

    /// The id of a netns that was seen; none if it is gone or cannot hold a child.
    fn identify(
        &self,
        rtnl: &mut Rtnl,
        expected: Identity,
        found: &Found,
    ) -> Result<Option<NetnsId>, DiscoverError> {
        for path in &found.paths {
            // Gone, or something else by now.
            let Ok(file) = File::open(path) else { continue };
            if identity(&file).is_ok_and(|identity| identity == expected) {
                let nsid = nsid_or_assign(rtnl, Handle::Fd(file.as_fd()), found.pid)?;
                return Ok(nsid.map(|nsid| self.id(nsid)));
            }
        }
        Ok(None)
    }
}

fn nsid_or_assign(
    rtnl: &mut Rtnl,
    netns: Handle<'_>,
    pid: Option<i32>,
) -> Result<Option<i32>, DiscoverError> {
    match nsid::nsid_of(rtnl, netns)? {
        None if pid.is_none_or(may_hold_child) => nsid::assign(rtnl, netns),
        nsid => Ok(nsid),
    }
}

/// Whether the netns of this process holds any link but `lo`; if that cannot be told, it may.
fn may_hold_child(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/net/dev"))
        .map_or(true, |links| holds_more_than_lo(&links))
}

fn holds_more_than_lo(links: &str) -> bool {
    const HEADER_LINES: usize = 2;
    links
        .lines()
        .skip(HEADER_LINES)
        .filter_map(|line| line.split_once(':'))
        .any(|(name, _)| name.trim() != "lo")
}

fn identity(file: &File) -> io::Result<Identity> {
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
        assert!(!holds_more_than_lo(HEADER));
        assert!(!holds_more_than_lo(&format!("{HEADER}    lo: 0 0\n")));
        assert!(holds_more_than_lo(&format!(
            "{HEADER}    lo: 0 0\n  eth0: 0 0\n"
        )));
    }
}
