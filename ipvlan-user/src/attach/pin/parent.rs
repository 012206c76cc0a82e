//! The directory of one parent: links, and maps of a layout.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use ipvlan_common::LAYOUT;
use nix::fcntl::Flock;

use super::{
    PinError,
    directory::{make_private, remove_tree},
};

/// Name of the mark for a qdisc that was added for us.
const CLSACT: &str = "clsact";

/// The directory of one parent.
#[derive(Debug)]
pub struct ParentPins {
    pub(super) path: PathBuf,
    pub(super) _lock: Flock<File>,
}

impl ParentPins {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a link of this name is pinned.
    pub(in crate::attach) fn link(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the maps of this build are.
    pub(in crate::attach) fn maps(&self) -> PathBuf {
        self.path.join(format!("v{LAYOUT}"))
    }

    /// Where its maps are until they are complete; empty.
    pub(in crate::attach) fn make_staging(&self) -> Result<PathBuf, PinError> {
        let path = self.staging();
        remove_tree(&path)?;
        make_private(&path)?;
        Ok(path)
    }

    fn staging(&self) -> PathBuf {
        self.path.join(format!("v{LAYOUT}-new"))
    }

    /// Makes the staged maps the ones of this parent; those of every other layout go.
    pub(in crate::attach) fn commit(&self) -> Result<(), PinError> {
        let failed = || PinError::file("list", &self.path);
        let staging = self.staging();
        for entry in fs::read_dir(&self.path).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name();
            let is_layout = name.to_str().is_some_and(|name| {
                name.strip_prefix('v')
                    .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
            });
            if is_layout && entry.path() != staging {
                remove_tree(&entry.path())?;
            }
        }
        fs::rename(&staging, self.maps()).map_err(PinError::file("rename", &staging))
    }

    /// Whether the qdisc was added for us.
    #[must_use]
    pub fn has_clsact_mark(&self) -> bool {
        self.path.join(CLSACT).is_dir()
    }

    /// Remembers that it was.
    pub(in crate::attach) fn mark_clsact(&self) -> Result<(), PinError> {
        make_private(&self.path.join(CLSACT))
    }

    /// Forgets it: the qdisc is gone.
    pub(in crate::attach) fn unmark_clsact(&self) -> Result<(), PinError> {
        remove_tree(&self.path.join(CLSACT)).map(drop)
    }

    /// Makes the directories again that somebody else removed.
    pub(in crate::attach) fn restore(&self) -> Result<(), PinError> {
        if let Some(root) = self.path.parent() {
            make_private(root)?;
        }
        make_private(&self.path)?;
        make_private(&self.maps())
    }

    /// Removes everything that is pinned for the parent: links whose last handle this is detach. Returns
    /// how many objects it were.
    pub fn remove(self) -> Result<usize, PinError> {
        remove_tree(&self.path)
    }
}
