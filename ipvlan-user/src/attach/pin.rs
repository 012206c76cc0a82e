//! Where links and maps outlive the agent: one directory per parent on a BPF filesystem.
//!
//! ```text
//! /sys/fs/bpf/ipvlan/                     0700: the directories' mode is the only access control of maps
//!     ens34-4026531840-2/                 NAME-NETNS-IFINDEX; held by flock(2) while an agent serves it
//!         ingress egress xdp-native       links, whatever the layout of the maps
//!         clsact/                         nothing but a mark: the qdisc was added for us
//!         v3/ADDRESSES_V4 …               maps of a layout (`ipvlan_common::LAYOUT`)
//!         v3-new/                         maps that are not complete yet
//! ```
//!
//! The name is for people; what counts is netns and ifindex, so a rename changes nothing and two netns
//! with parents of one name never meet. A BPF filesystem has no dots in names.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use ipvlan_common::LAYOUT;
use nix::{
    fcntl::{Flock, FlockArg},
    sys::statfs::{BPF_FS_MAGIC, statfs},
    unistd::Uid,
};

/// Default of `--pin-dir`.
pub const PIN_DIR: &str = "/sys/fs/bpf/ipvlan";
const PRIVATE: u32 = 0o700;
/// Name of the mark for a qdisc that was added for us.
const CLSACT: &str = "clsact";

/// Something cannot be pinned, or what is pinned cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// There is no BPF filesystem.
    #[error("{} is not on a BPF filesystem", path.display())]
    NoBpffs {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others could get at the maps.
    #[error("{} belongs to uid {owner}, not to us", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Another agent holds the directory of the parent.
    #[error("{} is held by another agent", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
        /// Its process id, where the kernel tells.
        owner: Option<u32>,
    },
    /// The filesystem refused.
    #[error("{action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl PinError {
    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the agent can do without pins: there is no filesystem for them, or none to write to.
    #[must_use]
    pub fn is_for_want_of_a_filesystem(&self) -> bool {
        match self {
            Self::NoBpffs { .. } => true,
            Self::File { source, .. } => matches!(
                source.raw_os_error(),
                Some(libc::EROFS | libc::ENOENT | libc::ENOTDIR | libc::ENOSPC)
            ),
            Self::Foreign { .. } | Self::Taken { .. } => false,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoBpffs { .. } => "mount -t bpf bpf /sys/fs/bpf, or use --pin-dir or --no-pin",
            Self::Foreign { .. } => {
                "run as that user, or use --pin-dir with a directory of your own"
            }
            Self::Taken { .. } => "see `ipvlan status`; stop that agent first",
            Self::File { .. } => {
                "run as root, or use --pin-dir with a directory of your own, or --no-pin"
            }
        }
    }

    /// The error number behind it.
    #[must_use]
    pub fn os_error(&self) -> Option<i32> {
        match self {
            Self::File { source, .. } => source.raw_os_error(),
            Self::Foreign { .. } => Some(libc::EACCES),
            Self::NoBpffs { .. } | Self::Taken { .. } => None,
        }
    }
}

/// The directory of all parents.
#[derive(Clone, Debug)]
pub struct PinRoot {
    path: PathBuf,
}

/// What a directory of a parent is called after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinName {
    /// Name of the directory.
    pub file: String,
    /// The parent's name when it was last attached to, dots replaced.
    pub parent: String,
    /// Inode of its netns.
    pub netns: u64,
    /// Its interface index there.
    pub ifindex: u32,
}

impl PinName {
    fn new(parent: &str, netns: u64, ifindex: u32) -> Self {
        let parent = parent.replace('.', "_");
        Self {
            file: format!("{parent}-{netns}-{ifindex}"),
            parent,
            netns,
            ifindex,
        }
    }

    /// Whether that was the parent's name.
    #[must_use]
    pub fn is_called(&self, parent: &str) -> bool {
        self.parent == parent.replace('.', "_")
    }

    fn parse(file: &str) -> Option<Self> {
        let mut parts = file.rsplitn(3, '-');
        let ifindex = parts.next()?.parse().ok()?;
        let netns = parts.next()?.parse().ok()?;
        Some(Self {
            file: file.to_owned(),
            parent: parts.next()?.to_owned(),
            netns,
            ifindex,
        })
    }
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
        let path = self.path.join(&name.file);
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

/// The directory of one parent.
#[derive(Debug)]
pub struct ParentPins {
    path: PathBuf,
    _lock: Flock<File>,
}

impl ParentPins {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a link of this name is pinned.
    pub(super) fn link(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the maps of this build are.
    pub(super) fn maps(&self) -> PathBuf {
        self.path.join(format!("v{LAYOUT}"))
    }

    /// Where its maps are until they are complete; empty.
    pub(super) fn make_staging(&self) -> Result<PathBuf, PinError> {
        let path = self.staging();
        remove_tree(&path)?;
        make_private(&path)?;
        Ok(path)
    }

    fn staging(&self) -> PathBuf {
        self.path.join(format!("v{LAYOUT}-new"))
    }

    /// Makes the staged maps the ones of this parent; those of every other layout go.
    pub(super) fn commit(&self) -> Result<(), PinError> {
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
    pub(super) fn mark_clsact(&self) -> Result<(), PinError> {
        make_private(&self.path.join(CLSACT))
    }

    /// Forgets it: the qdisc is gone.
    pub(super) fn unmark_clsact(&self) -> Result<(), PinError> {
        remove_tree(&self.path.join(CLSACT)).map(drop)
    }

    /// Makes the directories again that somebody else removed.
    pub(super) fn restore(&self) -> Result<(), PinError> {
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

/// Removes a directory and all that is in it; one that is not there is a success. Returns how many files
/// were in it. Symbolic links are never followed: root does this in directories of others.
fn remove_tree(path: &Path) -> Result<usize, PinError> {
    let files = count_files(path)?;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PinError::file("remove", path)(error))
        }
        _ => Ok(files),
    }
}

fn count_files(path: &Path) -> Result<usize, PinError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(PinError::file("list", path)(error)),
    };
    let mut files = 0;
    for entry in entries {
        let entry = entry.map_err(PinError::file("list", path))?;
        files += if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            count_files(&entry.path())?
        } else {
            1
        };
    }
    Ok(files)
}

/// Makes a directory that is nobody's but ours; one that is there is made so.
fn make_private(path: &Path) -> Result<(), PinError> {
    match DirBuilder::new().mode(PRIVATE).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(PinError::file("make", path)(error)),
    }
    let metadata = fs::symlink_metadata(path).map_err(PinError::file("look at", path))?;
    if !metadata.is_dir() {
        let error = io::ErrorKind::NotADirectory.into();
        return Err(PinError::file("use", path)(error));
    }
    if metadata.uid() != Uid::effective().as_raw() {
        return Err(PinError::Foreign {
            path: path.to_owned(),
            owner: metadata.uid(),
        });
    }
    if metadata.mode() & 0o7777 != PRIVATE {
        fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE))
            .map_err(PinError::file("close to others", path))?;
    }
    Ok(())
}

fn on_bpffs(path: &Path) -> Result<(), PinError> {
    let filesystem = statfs(path)
        .map_err(io::Error::from)
        .map_err(PinError::file("look at", path))?;
    if filesystem.filesystem_type() == BPF_FS_MAGIC {
        Ok(())
    } else {
        Err(PinError::NoBpffs {
            path: path.to_owned(),
        })
    }
}

/// The process that holds a `flock` on the file with this inode number (`/proc/locks`).
fn owner_of_lock(inode: u64) -> Option<u32> {
    lock_holder(&fs::read_to_string("/proc/locks").ok()?, inode)
}

fn lock_holder(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        // 1: FLOCK  ADVISORY  WRITE 4242 00:1d:17 0 EOF
        let mut words = line.split_whitespace().skip(1);
        if words.next()? != "FLOCK" {
            return None;
        }
        let pid = words.nth(2)?.parse().ok()?;
        let (_, held) = words.next()?.rsplit_once(':')?;
        (held.parse() == Ok(inode) && pid != 0).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_netns_and_ifindex_whatever_the_parent_is_called() {
        for (parent, file) in [
            ("ens34", "ens34-4026531840-2"),
            ("eth0.100", "eth0_100-4026531840-2"),
            ("br-lan-1", "br-lan-1-4026531840-2"),
            ("-", "--4026531840-2"),
        ] {
            let name = PinName::new(parent, 4_026_531_840, 2);
            assert_eq!(name.file, file);
            assert_eq!(PinName::parse(file), Some(name));
        }
        for file in [
            "",
            "ens34",
            "2",
            "1-2",
            "ens34-a-2",
            "ens34-1-b",
            "ens34-1-",
        ] {
            assert_eq!(PinName::parse(file), None, "{file}");
        }
    }

    #[test]
    fn the_holder_of_a_lock_is_found_among_others() {
        let locks = "1: POSIX  ADVISORY  WRITE 10 00:1d:17 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 20 00:1d:16 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 30 00:1d:17 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 40 00:1d:17 0 EOF\n";
        assert_eq!(lock_holder(locks, 17), Some(30));
        assert_eq!(lock_holder(locks, 18), None);
        assert_eq!(lock_holder("nonsense\n\n1:\n", 17), None);
    }

    #[test]
    fn a_directory_that_is_on_no_bpf_filesystem_is_refused() {
        let dir = std::env::temp_dir();
        let error = PinRoot::create(&dir.join("pins")).unwrap_err();
        assert!(matches!(error, PinError::NoBpffs { .. }), "{error}");
        assert!(error.is_for_want_of_a_filesystem());
        assert!(!dir.join("pins").exists());
    }
}
