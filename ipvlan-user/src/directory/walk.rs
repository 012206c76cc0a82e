//! From a path to a directory, one component at a time.

use std::{
    ffi::{OsStr, OsString},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat, readlinkat},
    sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat},
    unistd::{Gid, Uid},
};

use super::{Acting, Directory, DirectoryError, PLACE};

/// Most symbolic links on the way, as the kernel has it (`MAXSYMLINKS`).
const MOST_LINKS: u32 = 40;
/// Mode of directories above one that is created.
const ABOVE: u32 = 0o755;

/// Opens a directory. With a mode, it and those above it are created where they are missing.
///
/// Each component is looked up with the identity of the owner of the directory that it is in, and a
/// symbolic link is followed only if root or this user made it, in a directory of root or of this user: a
/// path cannot be led away by another user whose directory is on the way. The last component is never
/// followed.
pub(super) fn walk(path: &Path, create: Option<u32>) -> Result<Directory, DirectoryError> {
    let mut rest: Vec<OsString> = components(path);
    let mut place = if path.is_absolute() {
        root(path)?
    } else {
        Place::open(path, open(".", PLACE, Mode::empty()))?
    };
    let mut above = None;
    let mut links = 0;
    while let Some(name) = rest.pop() {
        let is_last = rest.is_empty();
        let _acting = place.act();
        let mode = create.map(|mode| if is_last { mode } else { ABOVE });
        let next = place.next(&name, mode, path)?;
        if next.kind() == SFlag::S_IFLNK {
            let owner = Uid::from_raw(next.stat.st_uid);
            let is_safe =
                place.is_trusted() && is_ours(next.stat.st_uid) && next.stat.st_nlink == 1;
            if is_last || !is_safe {
                return Err(DirectoryError::Link {
                    path: shown(path, &rest),
                    owner,
                });
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(DirectoryError::io("open", path, Errno::ELOOP));
            }
            let target = readlinkat(&*place.fd, name.as_os_str())
                .map_err(|errno| DirectoryError::io("read the link", path, errno))?;
            let target = Path::new(&target);
            rest.extend(components(target));
            if target.is_absolute() {
                place = root(path)?;
            }
            continue;
        }
        if next.kind() != SFlag::S_IFDIR {
            let failed = shown(path, &rest);
            return Err(DirectoryError::io("open", &failed, Errno::ENOTDIR));
        }
        above = Some((Arc::clone(&place.fd), name));
        place = next;
    }
    Ok(Directory {
        fd: place.fd,
        path: path.to_owned(),
        stat: place.stat,
        above,
    })
}

/// The components to go through, the first one last.
fn components(path: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect();
    names.reverse();
    names
}

/// The part of a path without the components that are left.
fn shown(path: &Path, rest: &[OsString]) -> PathBuf {
    path.ancestors().nth(rest.len()).unwrap_or(path).to_owned()
}

fn is_ours(user: u32) -> bool {
    user == 0 || Uid::effective().as_raw() == user
}

fn root(path: &Path) -> Result<Place, DirectoryError> {
    Place::open(path, open("/", PLACE, Mode::empty()))
}

/// Where the walk is.
struct Place {
    fd: Arc<std::os::fd::OwnedFd>,
    stat: FileStat,
}

impl Place {
    fn open(
        path: &Path,
        opened: nix::Result<std::os::fd::OwnedFd>,
    ) -> Result<Self, DirectoryError> {
        let failed = |errno| DirectoryError::io("open", path, errno);
        let fd = opened.map_err(failed)?;
        Ok(Self {
            stat: fstat(&fd).map_err(failed)?,
            fd: Arc::new(fd),
        })
    }

    fn act(&self) -> Acting {
        Acting::as_owner(
            Uid::from_raw(self.stat.st_uid),
            Gid::from_raw(self.stat.st_gid),
        )
    }

    const fn kind(&self) -> SFlag {
        SFlag::from_bits_truncate(self.stat.st_mode & SFlag::S_IFMT.bits())
    }

    /// Whether only root and this user decide what is in it.
    fn is_trusted(&self) -> bool {
        is_ours(self.stat.st_uid)
    }

    fn next(&self, name: &OsStr, create: Option<u32>, path: &Path) -> Result<Self, DirectoryError> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut opened = openat(&*self.fd, name, flags, Mode::empty());
        if let (Err(Errno::ENOENT), Some(mode)) = (&opened, create) {
            match mkdirat(&*self.fd, name, Mode::from_bits_truncate(mode)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(DirectoryError::io("create", path, errno)),
            }
            opened = openat(&*self.fd, name, flags, Mode::empty());
        }
        Self::open(path, opened)
    }
}
