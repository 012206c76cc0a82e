//! Directories that other users may write to, opened once and used through their descriptor.
//!
//! The runtime directory and the pin directory can belong to the user that the service runs as, and root
//! works in them as well (`status`, `cleanup`, `run`). So every entry is opened, examined, renamed and
//! removed relative to the descriptor of its directory ([`Directory`]), without following symbolic links and
//! without waiting for the other end of a FIFO, and with the file-system identity of the directory's owner
//! ([`Acting`]): nothing that the owner puts there makes root reach further than the owner does.

mod entry;
mod error;
mod guard;
mod identity;
mod lock;
mod tree;
mod walk;

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Permissions},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat, renameat},
    sys::{
        stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat},
        statfs::{FsType, fstatfs},
    },
    unistd::{Gid, Uid, UnlinkatFlags, unlinkat},
};

pub use self::{
    entry::Entry,
    error::DirectoryError,
    guard::Guard,
    identity::{Acting, IdentityError, keep_identity},
    lock::{Holder, holders},
};
use crate::text::escaped_path;

/// Most entries that are read of one directory. Its owner can make any number.
const MOST_ENTRIES: usize = 65_536;
/// How a directory is opened to be a place for others: neither read nor followed.
const PLACE: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
/// All permissions of the group and of others.
const OTHERS: u32 = 0o077;
/// Write permission of the group and of others.
const OTHERS_WRITE: u32 = 0o022;

/// An open directory.
#[derive(Clone, Debug)]
pub struct Directory {
    fd: Arc<OwnedFd>,
    path: PathBuf,
    stat: FileStat,
    /// The directory above, and the name there; none for `/`.
    above: Option<(Arc<OwnedFd>, OsString)>,
}

impl Directory {
    /// Opens the directory; none if it does not exist.
    ///
    /// Symbolic links on the way are followed only if root or this user made them, the last component is
    /// never followed. A directory that its group or others can write to is refused, unless it is root's
    /// and sticky, as `/tmp` is.
    pub fn find(path: &Path) -> Result<Option<Self>, DirectoryError> {
        Self::find_any(path)?.map(Self::checked).transpose()
    }

    /// Opens the directory to examine its file system; none if it does not exist. Other users may be able to
    /// write to it.
    pub fn find_any(path: &Path) -> Result<Option<Self>, DirectoryError> {
        match walk::walk(path, None) {
            Ok(directory) => Ok(Some(directory)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the directory, and creates it with `mode` if it does not exist, with every missing one above
    /// it with mode 0755.
    pub fn create(path: &Path, mode: u32) -> Result<Self, DirectoryError> {
        walk::walk(path, Some(mode))?.checked()
    }

    /// Opens a directory in this one; none if it does not exist.
    pub fn find_in(&self, name: &OsStr) -> Result<Option<Self>, DirectoryError> {
        let _acting = self.act();
        match openat(&self.fd, name, PLACE, Mode::empty()) {
            Ok(fd) => self.opened(name, fd).map(Some),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.failed("open", name, errno)),
        }
    }

    /// Opens a directory in this one, and creates it with `mode` if it does not exist.
    pub fn create_in(&self, name: &OsStr, mode: u32) -> Result<Self, DirectoryError> {
        let _acting = self.act();
        match mkdirat(&self.fd, name, Mode::from_bits_truncate(mode)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(self.failed("create", name, errno)),
        }
        let fd = openat(&self.fd, name, PLACE, Mode::empty())
            .map_err(|errno| self.failed("open", name, errno))?;
        self.opened(name, fd)
    }

    fn opened(&self, name: &OsStr, fd: OwnedFd) -> Result<Self, DirectoryError> {
        Ok(Self {
            stat: fstat(&fd).map_err(|errno| self.failed("examine", name, errno))?,
            fd: Arc::new(fd),
            path: self.path.join(name),
            above: Some((Arc::clone(&self.fd), name.to_owned())),
        })
    }

    fn checked(self) -> Result<Self, DirectoryError> {
        let mode = self.stat.st_mode;
        let is_sticky = self.stat.st_uid == 0 && mode & Mode::S_ISVTX.bits() != 0;
        if mode & OTHERS_WRITE != 0 && !is_sticky {
            return Err(DirectoryError::Writable {
                path: self.path,
                mode: mode & 0o7777,
            });
        }
        if !identity::is_accessible(self.owner(), &self.act()) {
            return Err(DirectoryError::Identity {
                owner: self.owner(),
                path: self.path,
                source: IdentityError::Refused(Errno::EPERM),
            });
        }
        Ok(self)
    }

    /// Returns the path that it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its owner.
    #[must_use]
    pub fn owner(&self) -> Uid {
        Uid::from_raw(self.stat.st_uid)
    }

    /// Returns its inode number.
    #[must_use]
    pub const fn inode(&self) -> u64 {
        self.stat.st_ino
    }

    /// Returns its permission bits when it was opened.
    #[must_use]
    pub const fn mode(&self) -> u32 {
        self.stat.st_mode & 0o7777
    }

    /// Takes the file-system identity of its owner until the guard is dropped: see [`Acting`].
    pub fn act(&self) -> Acting {
        Acting::as_owner(self.owner(), Gid::from_raw(self.stat.st_gid))
    }

    /// Returns a path of an entry that goes through the descriptor, for calls that take paths only. They
    /// may follow the entry, if it is a symbolic link.
    #[must_use]
    pub fn at(&self, name: &OsStr) -> PathBuf {
        Path::new("/proc/self/fd")
            .join(self.fd.as_raw_fd().to_string())
            .join(name)
    }

    /// Returns the type of the file system that it is on.
    pub fn filesystem(&self) -> Result<FsType, DirectoryError> {
        match fstatfs(self.fd.as_fd()) {
            Ok(filesystem) => Ok(filesystem.filesystem_type()),
            Err(errno) => Err(DirectoryError::io("examine", &self.path, errno)),
        }
    }

    /// Returns whether its path still leads to it.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let Some((above, name)) = &self.above else {
            return true;
        };
        let _acting = act_in(above);
        fstatat(above, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|now| same(&now, &self.stat))
    }

    /// Opens the directory itself, to be read, locked or synchronised.
    pub fn open(&self) -> Result<File, DirectoryError> {
        let _acting = self.act();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(&self.fd, ".", flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| DirectoryError::io("open", &self.path, errno))
    }

    /// Sets its permission bits.
    pub fn set_mode(&self, mode: u32) -> Result<(), DirectoryError> {
        use std::os::unix::fs::PermissionsExt as _;
        let _acting = self.act();
        self.open()?
            .set_permissions(Permissions::from_mode(mode))
            .map_err(|source| DirectoryError::Io {
                action: "set the mode of",
                path: self.path.clone(),
                source,
            })
    }

    /// Returns the names of its entries, sorted: at most `MOST_ENTRIES` of them.
    pub fn names(&self) -> Result<Vec<OsString>, DirectoryError> {
        let failed = |errno| DirectoryError::io("list", &self.path, errno);
        let _acting = self.act();
        let mut directory = Dir::from_fd(self.open()?.into()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() == MOST_ENTRIES {
                tracing::warn!(
                    directory = %escaped_path(&self.path),
                    "more than {MOST_ENTRIES} entries: the others were skipped"
                );
                break;
            }
            names.push(OsStr::from_bytes(name).to_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Examines an entry without following it; none if it does not exist.
    pub fn examine(&self, name: &OsStr) -> Result<Option<Entry>, DirectoryError> {
        let _acting = self.act();
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Entry { stat })),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.failed("examine", name, errno)),
        }
    }

    /// Opens an entry for reading and writing, without following it and without waiting. It must be what
    /// `expected` is: the same inode, a regular file with one link.
    pub fn open_file(&self, name: &OsStr, expected: &Entry) -> Result<File, DirectoryError> {
        let _acting = self.act();
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|errno| self.failed("open", name, errno))?;
        let stat = fstat(&file).map_err(|errno| self.failed("examine", name, errno))?;
        if same(&stat, &expected.stat) && self.distrust(&Entry { stat }, SFlag::S_IFREG).is_none() {
            Ok(file.into())
        } else {
            Err(self.failed("open", name, Errno::ESTALE))
        }
    }

    /// Creates a file with mode 0600 that did not exist before, for reading and writing.
    pub fn create_file(&self, name: &OsStr) -> Result<File, DirectoryError> {
        let _acting = self.act();
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&self.fd, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map(File::from)
            .map_err(|errno| self.failed("create", name, errno))
    }

    /// Opens an entry as a place: it can be examined and connected to, and nothing is done to it.
    pub fn open_place(&self, name: &OsStr) -> Result<(OwnedFd, Entry), DirectoryError> {
        let _acting = self.act();
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|errno| self.failed("open", name, errno))?;
        let stat = fstat(&fd).map_err(|errno| self.failed("examine", name, errno))?;
        Ok((fd, Entry { stat }))
    }

    /// Removes an entry that is no directory. One that does not exist is a success.
    pub fn remove(&self, name: &OsStr) -> Result<(), DirectoryError> {
        let _acting = self.act();
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.failed("remove", name, errno)),
        }
    }

    /// Removes an entry if it is still this one. Returns whether it was.
    pub fn remove_if(&self, name: &OsStr, entry: &Entry) -> Result<bool, DirectoryError> {
        match self.examine(name)? {
            Some(now) if same(&now.stat, &entry.stat) => self.remove(name).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Renames an entry; what has the new name is replaced.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> Result<(), DirectoryError> {
        let _acting = self.act();
        renameat(&self.fd, from, &self.fd, to).map_err(|errno| self.failed("rename", from, errno))
    }

    /// Removes a directory of this one with everything in it, without following symbolic links and without
    /// leaving its file system. Returns how many files it had; 0 if it does not exist.
    pub fn remove_tree(&self, name: &OsStr) -> Result<usize, DirectoryError> {
        tree::remove(self, name, 0)
    }

    /// Removes the directory itself if it is empty and still in its place.
    pub fn remove_if_empty(&self) {
        if let Some((above, name)) = &self.above
            && self.is_in_place()
        {
            let _acting = act_in(above);
            // One that is in use is not empty; one that may not be removed was made by another.
            let _: nix::Result<()> = unlinkat(above, name.as_os_str(), UnlinkatFlags::RemoveDir);
        }
    }

    /// Returns why an entry is not to be used as a file of this type; none if it can be.
    #[must_use]
    pub fn distrust(&self, entry: &Entry, kind: SFlag) -> Option<String> {
        if entry.kind() != kind {
            return Some(format!("it is {}", entry.word()));
        }
        if entry.stat.st_nlink != 1 {
            return Some(format!("it has {} links", entry.stat.st_nlink));
        }
        let owner = Uid::from_raw(entry.stat.st_uid);
        (!self.trusts(owner)).then(|| format!("it belongs to uid {owner}"))
    }

    /// Returns whether a user may have files and agents here: root, the owner, and this user.
    #[must_use]
    pub fn trusts(&self, user: Uid) -> bool {
        user.is_root() || user == self.owner() || user == Uid::effective()
    }

    fn failed(&self, action: &'static str, name: &OsStr, errno: Errno) -> DirectoryError {
        DirectoryError::io(action, &self.path.join(name), errno)
    }
}

/// Takes the identity of the owner of an open directory.
fn act_in(directory: &OwnedFd) -> Option<Acting> {
    let stat = fstat(directory).ok()?;
    Some(Acting::as_owner(
        Uid::from_raw(stat.st_uid),
        Gid::from_raw(stat.st_gid),
    ))
}

/// Whether it is the same inode. The number of one that was removed is soon given to another, unless it is
/// open, as directories are here.
const fn same(one: &FileStat, other: &FileStat) -> bool {
    let is_directory = one.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
    let unchanged = one.st_mtime == other.st_mtime && one.st_mtime_nsec == other.st_mtime_nsec;
    one.st_dev == other.st_dev
        && one.st_ino == other.st_ino
        && (one.st_mode ^ other.st_mode) & SFlag::S_IFMT.bits() == 0
        && (is_directory || unchanged)
}

#[cfg(test)]
mod tests;
