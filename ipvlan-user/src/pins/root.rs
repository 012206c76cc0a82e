//! The directory of all parents.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::{
    PRIVATE, ParentPins, PinError, PinName,
    private::{check_owner, make_private, on_bpffs},
};
use crate::directory::{Directory, holders};

/// How often a directory may be removed while it is opened.
const TRIES: u32 = 100;

/// The directory of all parents.
#[derive(Clone, Debug)]
pub struct PinRoot {
    pub(super) directory: Directory,
}

impl PinRoot {
    /// Opens the directory, and creates it if it does not exist. No other user can open it then.
    pub fn create(path: &Path) -> Result<Self, PinError> {
        if let Some(directory) = Directory::find_any(path)? {
            on_bpffs(&directory)?;
            // Directories of parents are checked for their owners.
            make_private(&directory)?;
        } else {
            // A directory that is there may be all that is shown of a BPF filesystem; this one is not.
            let above = path.parent().unwrap_or(path);
            let above = Directory::find_any(above)?
                .ok_or_else(|| PinError::file("open", above)(Errno::ENOENT.into()))?;
            on_bpffs(&above)?;
        }
        let directory = Directory::create(path, PRIVATE)?;
        on_bpffs(&directory)?;
        make_private(&directory)?;
        Ok(Self { directory })
    }

    /// Opens the directory, if it exists.
    pub fn find(path: &Path) -> Result<Option<Self>, PinError> {
        let Some(directory) = Directory::find(path)? else {
            return Ok(None);
        };
        on_bpffs(&directory)?;
        Ok(Some(Self { directory }))
    }

    /// Returns the parents that something is pinned for.
    pub fn names(&self) -> Result<Vec<PinName>, PinError> {
        let names = self.directory.names()?;
        Ok(names
            .iter()
            .filter_map(|name| PinName::parse(name.to_str()?))
            .collect())
    }

    /// Returns whether a process holds the directory of this name, as far as the kernel shows locks.
    #[must_use]
    pub fn is_held(&self, name: &PinName) -> bool {
        let entry = self.directory.examine(OsStr::new(&name.file));
        entry.is_ok_and(|entry| entry.is_some_and(|it| !holders(it.inode()).is_empty()))
    }

    /// Returns where the directory of this name is.
    #[must_use]
    pub fn path(&self, name: &PinName) -> PathBuf {
        self.directory.path().join(&name.file)
    }

    /// Opens the directory of a parent and locks it until it is dropped. Creates it if it does not exist.
    pub fn claim(&self, netns: u64, parent: &str, ifindex: u32) -> Result<ParentPins, PinError> {
        let wanted = PinName::new(parent, netns, ifindex);
        for _ in 1..TRIES {
            let known = self
                .names()?
                .into_iter()
                .find(|name| (name.netns, name.ifindex) == (netns, ifindex));
            match known {
                Some(name) if name.file != wanted.file => {
                    let Some(pins) = self.open(&name)? else {
                        continue;
                    };
                    return pins.renamed(&wanted);
                }
                Some(_) => {}
                None => {
                    self.directory
                        .create_in(OsStr::new(&wanted.file), PRIVATE)?;
                }
            }
            // None: its last owner removed it meanwhile.
            if let Some(pins) = self.open(&wanted)? {
                return Ok(pins);
            }
        }
        Err(PinError::file("open", &self.path(&wanted))(
            Errno::EBUSY.into(),
        ))
    }

    /// Opens the directory of this name and locks it until it is dropped; none if it does not exist. What is
    /// in it is used, so it must belong to the owner of the directory of all parents.
    pub fn open(&self, name: &PinName) -> Result<Option<ParentPins>, PinError> {
        let pins = self.open_to_remove(name)?;
        if let Some(pins) = &pins {
            check_owner(&self.directory)?;
            pins.make_private(&self.directory)?;
        }
        Ok(pins)
    }

    /// Opens the directory of this name to remove it, whichever user owns it.
    pub fn open_to_remove(&self, name: &PinName) -> Result<Option<ParentPins>, PinError> {
        for _ in 1..TRIES {
            let Some(directory) = self.directory.find_in(OsStr::new(&name.file))? else {
                return Ok(None);
            };
            let path = directory.path().to_owned();
            let lock = match Flock::lock(directory.open()?, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => lock,
                Err((_, Errno::EWOULDBLOCK)) => {
                    let owner = holders(directory.inode()).first().map(|of| of.pid);
                    return Err(PinError::Taken { path, owner });
                }
                Err((_, errno)) => return Err(PinError::file("lock", &path)(errno.into())),
            };
            // Removed or replaced before it was locked.
            if directory.is_in_place() {
                return Ok(Some(ParentPins::new(self.clone(), directory, lock)));
            }
        }
        Err(PinError::file("open", &self.path(name))(
            Errno::EBUSY.into(),
        ))
    }

    /// Removes the directory of all parents, if it is empty.
    pub fn remove_if_empty(&self) {
        self.directory.remove_if_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_on_no_bpf_filesystem_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let pins = dir.path().join("pins");
        let error = PinRoot::create(&pins).unwrap_err();
        assert!(matches!(error, PinError::NoBpffs { .. }), "{error}");
        assert!(error.is_for_want_of_a_filesystem());
        assert!(!pins.exists());
    }
}
