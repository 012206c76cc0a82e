//! The directory of one parent: links, and maps of a layout.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
};

use ipvlan_common::LAYOUT;
use nix::{fcntl::Flock, sys::stat::SFlag};

use super::{PRIVATE, PinError, PinName, PinRoot, private::make_private};
use crate::directory::{Acting, Directory};

/// Name of the mark for a qdisc that was added for us.
const CLSACT: &str = "clsact";

/// The directory of one parent, locked until this is dropped.
#[derive(Debug)]
pub struct ParentPins {
    root: PinRoot,
    directory: Directory,
    /// Its path, for people.
    path: PathBuf,
    _lock: Flock<File>,
}

impl ParentPins {
    pub(super) fn new(root: PinRoot, directory: Directory, lock: Flock<File>) -> Self {
        Self {
            root,
            path: directory.path().to_owned(),
            directory,
            _lock: lock,
        }
    }

    /// Renames the directory: the parent was renamed.
    pub(super) fn renamed(self, name: &PinName) -> Result<Self, PinError> {
        let from = self.path.file_name().unwrap_or_default();
        self.root.directory.rename(from, OsStr::new(&name.file))?;
        let directory = self.root.directory.find_in(OsStr::new(&name.file))?;
        let directory = directory.filter(|now| now.inode() == self.directory.inode());
        let directory = directory.ok_or_else(|| {
            PinError::file("rename", &self.path)(nix::errno::Errno::ESTALE.into())
        })?;
        Ok(Self {
            path: self.root.path(name),
            directory,
            ..self
        })
    }

    /// Makes sure that its owner is that of the directory of all parents, and that no other user can open it.
    pub(super) fn make_private(&self, root: &Directory) -> Result<(), PinError> {
        let owner = self.directory.owner();
        if owner != root.owner() {
            return Err(PinError::Foreign {
                path: self.path.clone(),
                owner: owner.as_raw(),
            });
        }
        make_private(&self.directory)
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the file-system identity of its owner, until the guard is dropped: pins are opened and created
    /// by paths.
    pub(crate) fn act(&self) -> Acting {
        self.directory.act()
    }

    /// Returns a path of a link, through the descriptor of the directory.
    pub(crate) fn link(&self, name: &str) -> PathBuf {
        self.directory.at(OsStr::new(name))
    }

    /// Returns the path of a link, for people.
    pub(crate) fn shown(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Removes the pin of a link. One that does not exist is a success.
    pub(crate) fn unpin(&self, name: &str) -> Result<(), PinError> {
        Ok(self.directory.remove(OsStr::new(name))?)
    }

    /// Opens the directory with the maps of this build; none if there is none.
    pub(crate) fn maps(&self) -> Result<Option<MapPins>, PinError> {
        let maps = self.directory.find_in(OsStr::new(&layout()))?;
        Ok(maps.map(|directory| MapPins { directory }))
    }

    /// Opens the directory where maps are until they are complete. It is empty.
    pub(crate) fn make_staging(&self) -> Result<MapPins, PinError> {
        let name = staging();
        self.directory.remove_tree(OsStr::new(&name))?;
        let directory = self.directory.create_in(OsStr::new(&name), PRIVATE)?;
        make_private(&directory)?;
        Ok(MapPins { directory })
    }

    /// Makes the staged maps the ones of this parent; those of every other layout are removed.
    pub(crate) fn commit(&self) -> Result<(), PinError> {
        let staging = staging();
        for name in self.directory.names()? {
            let is_layout = name.to_str().is_some_and(|name| {
                name.strip_prefix('v')
                    .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
            });
            if is_layout && name != *staging {
                self.directory.remove_tree(&name)?;
            }
        }
        let (from, to) = (OsStr::new(&staging), layout());
        Ok(self.directory.rename(from, OsStr::new(&to))?)
    }

    /// Returns whether the qdisc was added for us.
    #[must_use]
    pub fn has_clsact_mark(&self) -> bool {
        let mark = self.directory.examine(OsStr::new(CLSACT));
        mark.is_ok_and(|mark| mark.is_some_and(|it| it.kind() == SFlag::S_IFDIR))
    }

    /// Records that it was.
    pub(crate) fn mark_clsact(&self) -> Result<(), PinError> {
        let mark = self.directory.create_in(OsStr::new(CLSACT), PRIVATE)?;
        make_private(&mark)
    }

    /// Removes the record: the qdisc is gone.
    pub(crate) fn unmark_clsact(&self) -> Result<(), PinError> {
        self.directory.remove_tree(OsStr::new(CLSACT))?;
        Ok(())
    }

    /// Creates the directories again that another process removed, and locks them.
    pub(crate) fn restore(&mut self) -> Result<(), PinError> {
        if !(self.root.directory.is_in_place() && self.directory.is_in_place()) {
            let root = PinRoot::create(self.root.directory.path())?;
            let name = self.path.file_name().unwrap_or_default();
            root.directory.create_in(name, PRIVATE)?;
            let name = name.to_str().and_then(PinName::parse);
            let pins = name.map(|name| root.open(&name)).transpose()?.flatten();
            *self = pins.ok_or_else(|| {
                PinError::file("open", &self.path)(nix::errno::Errno::ENOENT.into())
            })?;
        }
        let maps = self.directory.create_in(OsStr::new(&layout()), PRIVATE)?;
        make_private(&maps)
    }

    /// Removes everything that is pinned for the parent: links whose last handle this is detach. Returns
    /// how many objects it were.
    pub fn remove(self) -> Result<usize, PinError> {
        let name = self.path.file_name().unwrap_or_default();
        Ok(self.root.directory.remove_tree(name)?)
    }
}

fn layout() -> String {
    format!("v{LAYOUT}")
}

fn staging() -> String {
    format!("v{LAYOUT}-new")
}

/// The directory of the maps of a layout.
#[derive(Debug)]
pub(crate) struct MapPins {
    directory: Directory,
}

impl MapPins {
    /// Returns a path of a map, through the descriptor of the directory.
    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.directory.at(OsStr::new(name))
    }

    /// Returns the path of a map, for people.
    pub(crate) fn shown(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns a path of the directory itself, through its descriptor.
    pub(crate) fn place(&self) -> PathBuf {
        self.directory.at(OsStr::new("."))
    }

    /// Removes the pin of a map. One that does not exist is a success.
    pub(crate) fn unpin(&self, name: &str) -> Result<(), PinError> {
        Ok(self.directory.remove(OsStr::new(name))?)
    }
}
