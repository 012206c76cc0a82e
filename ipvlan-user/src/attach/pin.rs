//! Where links and maps outlive the agent: one directory per parent on a BPF filesystem.
//!
//! ```text
//! /sys/fs/bpf/ipvlan/                     0700: the directories' mode is the only access control of maps
//!     ens34-4026531840-2/                 NAME-NETNS-IFINDEX; held by flock(2) while an agent serves it
//!         ingress egress xdp-native       links, whatever the layout of the maps
//!         clsact/                         nothing but a mark: the qdisc was added for us
//!         v4/ADDRESSES_V4 …               maps of a layout (`ipvlan_common::LAYOUT`)
//!         v4-new/                         maps that are not complete yet
//! ```
//!
//! The name is for people; what counts is netns and ifindex, so a rename changes nothing and two netns
//! with parents of one name never meet. A BPF filesystem has no dots in names.

mod directory;
mod error;
mod lock;
mod name;
mod parent;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use self::{
    directory::{make_private, on_bpffs},
    lock::owner_of_lock,
};
pub use self::{error::PinError, name::PinName, parent::ParentPins};

/// Default of `--pin-dir`.
pub const PIN_DIR: &str = "/sys/fs/bpf/ipvlan";

/// The directory of all parents.
#[derive(Clone, Debug)]
pub struct PinRoot {
    path: PathBuf,
}

impl PinRoot {
    /// Makes the directory if it is not there, for nobody but us.
    pub fn create(path: &Path) -> Result<Self, PinError> {
        // A directory that is there may be all that is shown of a BPF filesystem.
        if !path.exists() {
            on_bpffs(path.parent().unwrap_or(path))?;
        }
        make_private(path)?;
        on_bpffs(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The directory, if it is there.
    pub fn find(path: &Path) -> Result<Option<Self>, PinError> {
        match fs::metadata(path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(PinError::file("look at", path)(error)),
        }
        on_bpffs(path)?;
        Ok(Some(Self {
            path: path.to_owned(),
        }))
    }

    /// The parents that something is pinned for.
    pub fn names(&self) -> Result<Vec<PinName>, PinError> {
        let failed = || PinError::file("list", &self.path);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            names.extend(entry.file_name().to_str().and_then(PinName::parse));
        }
        names.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(names)
    }

    /// Whether somebody holds the directory of this name, as far as the kernel shows locks.
    #[must_use]
    pub fn is_held(&self, name: &PinName) -> bool {
        let metadata = fs::metadata(self.path(name));
        metadata.is_ok_and(|dir| owner_of_lock(dir.ino()).is_some())
    }

    /// Where the directory of this name is.
    #[must_use]
    pub fn path(&self, name: &PinName) -> PathBuf {
        self.path.join(&name.file)
    }

    /// The directory of a parent, made if it is not there, and ours until it is dropped.
    pub fn claim(&self, netns: u64, parent: &str, ifindex: u32) -> Result<ParentPins, PinError> {
        let wanted = PinName::new(parent, netns, ifindex);
        loop {
            let known = self
                .names()?
                .into_iter()
                .find(|name| (name.netns, name.ifindex) == (netns, ifindex));
            let path = self.path.join(&wanted.file);
            match known {
                Some(name) if name.file != wanted.file => {
                    let Some(pins) = self.open(&name)? else {
                        continue;
                    };
                    fs::rename(&pins.path, &path).map_err(PinError::file("rename", &pins.path))?;
                    return Ok(ParentPins { path, ..pins });
                }
                Some(_) => {}
                None => make_private(&path)?,
            }
            // None: its last owner removed it meanwhile.
            if let Some(pins) = self.open(&wanted)? {
                return Ok(pins);
            }
        }
    }

    /// The directory of this name, ours until it is dropped; none if it is gone. It must belong to us:
    /// what is in it is used.
    pub fn open(&self, name: &PinName) -> Result<Option<ParentPins>, PinError> {
        let pins = self.open_to_remove(name)?;
        if let Some(pins) = &pins {
            make_private(&pins.path)?;
        }
        Ok(pins)
    }

    /// The same to remove it, whoever it belongs to: the user that the agent of a service runs as.
    pub fn open_to_remove(&self, name: &PinName) -> Result<Option<ParentPins>, PinError> {
        let path = self.path(name);
        let dir = match File::open(&path) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(PinError::file("open", &path)(error)),
        };
        let lock = match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((dir, nix::errno::Errno::EWOULDBLOCK)) => {
                let owner = dir.metadata().ok().and_then(|it| owner_of_lock(it.ino()));
                return Err(PinError::Taken { path, owner });
            }
            Err((_, errno)) => return Err(PinError::file("lock", &path)(errno.into())),
        };
        let locked = lock.metadata().map_err(PinError::file("look at", &path))?;
        match fs::metadata(&path) {
            Ok(there) if there.ino() == locked.ino() => Ok(Some(ParentPins { path, _lock: lock })),
            Ok(_) => self.open_to_remove(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PinError::file("look at", &path)(error)),
        }
    }

    /// Removes the directory of all parents, if it is empty.
    pub fn remove_if_empty(&self) {
        // Others may still use it.
        let _: io::Result<()> = fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_on_no_bpf_filesystem_is_refused() {
        let dir = std::env::temp_dir();
        let error = PinRoot::create(&dir.join("pins")).unwrap_err();
        assert!(matches!(error, PinError::NoBpffs { .. }), "{error}");
        assert!(error.is_for_want_of_a_filesystem());
        assert!(!dir.join("pins").exists());
    }
}
