//! Where netns can be seen: processes in /proc, names in /run, bind mounts anywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::DiscoverError;

const PROC: &str = "/proc";
const MOUNTS: &str = "/proc/thread-self/mountinfo";
const NAMES: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// Which file of the kernel's namespace file system a netns is. Reused as soon as the netns is
/// gone: good within one walk only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// One netns and where it was seen.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The lowest process id.
    pub(super) pid: Option<i32>,
    /// File names it is bound to.
    pub(super) names: BTreeSet<String>,
    /// Files to open it by.
    pub(super) paths: Vec<PathBuf>,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) found: BTreeMap<Identity, Found>,
    /// Processes whose netns may not be looked at, in ascending order.
    pub(super) opaque: Vec<i32>,
}

impl Walk {
    /// Looks everywhere. What vanishes meanwhile is left out, what is forbidden is not an error.
    pub(super) fn new() -> Result<Self, DiscoverError> {
        let mut walk = Self::default();
        walk.processes()?;
        // Only files of the same file system as the netns of processes are netns.
        let devices: BTreeSet<_> = walk.found.keys().map(|identity| identity.device).collect();
        for directory in NAMES {
            walk.names(Path::new(directory), &devices)?;
        }
        walk.mounts()?;
        Ok(walk)
    }

    fn processes(&mut self) -> Result<(), DiscoverError> {
        for entry in fs::read_dir(PROC).map_err(failed(PROC))? {
            let entry = entry.map_err(failed(PROC))?;
            let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse().ok()) else {
                continue;
            };
            let path = PathBuf::from(format!("{PROC}/{pid}/ns/net"));
            match stat(&path)? {
                Seen::As(identity) => {
                    let found = self.found.entry(identity).or_default();
                    if found.pid.is_none_or(|lowest| pid < lowest) {
                        found.pid = Some(pid);
                        found.paths = vec![path];
                    }
                }
                Seen::Forbidden => self.opaque.push(pid),
                Seen::Gone => {}
            }
        }
        self.opaque.sort_unstable();
        Ok(())
    }

    fn names(&mut self, directory: &Path, devices: &BTreeSet<u64>) -> Result<(), DiscoverError> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) || is_forbidden(&error) => return Ok(()),
            Err(error) => return Err(failed(directory)(error)),
        };
        for entry in entries {
            let path = entry.map_err(failed(directory))?.path();
            if let Seen::As(identity) = stat(&path)?
                && devices.contains(&identity.device)
            {
                self.named(identity, path);
            }
        }
        Ok(())
    }

    fn mounts(&mut self) -> Result<(), DiscoverError> {
        let mounts = fs::read(MOUNTS).map_err(failed(MOUNTS))?;
        for line in String::from_utf8_lossy(&mounts).lines() {
            if let Some((identity, path)) = netns_mount(line) {
                self.named(identity, path);
            }
        }
        Ok(())
    }

    fn named(&mut self, identity: Identity, path: PathBuf) {
        let found = self.found.entry(identity).or_default();
        let name = path.file_name().unwrap_or(OsStr::new("/"));
        if found.names.insert(name.to_string_lossy().into_owned()) {
            found.paths.push(path);
        }
    }
}

/// The netns and the mount point of a line of mountinfo: `36 25 0:4 net:[4026532281] /run/x …`.
fn netns_mount(line: &str) -> Option<(Identity, PathBuf)> {
    let mut fields = line.split(' ').skip(2);
    let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
    let inode = root
        .strip_prefix("net:[")?
        .strip_suffix(']')?
        .parse()
        .ok()?;
    let (major, minor) = device.split_once(':')?;
    let device = libc::makedev(major.parse().ok()?, minor.parse().ok()?);
    Some((Identity { device, inode }, unescaped(point).into()))
}

/// Undoes mountinfo's octal escapes of space, tab, newline and backslash.
fn unescaped(field: &str) -> String {
    field
        .replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

enum Seen {
    As(Identity),
    Forbidden,
    Gone,
}

fn stat(path: &Path) -> Result<Seen, DiscoverError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Seen::As(Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
        })),
        Err(error) if is_gone(&error) => Ok(Seen::Gone),
        Err(error) if is_forbidden(&error) => Ok(Seen::Forbidden),
        Err(error) => Err(failed(path)(error)),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}

fn failed(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> DiscoverError {
    move |source| DiscoverError::File {
        path: path.as_ref().to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_mounted_netns_is_found_in_mountinfo() {
        let line = r"712 29 0:4 net:[4026532281] /run/my\040netns/blue rw shared:5 - nsfs nsfs rw";
        let identity = Identity {
            device: libc::makedev(0, 4),
            inode: 4_026_532_281,
        };
        let expected = (identity, PathBuf::from("/run/my netns/blue"));
        assert_eq!(netns_mount(line), Some(expected));
    }

    #[test]
    fn other_mounts_are_not_netns() {
        for line in [
            "",
            "29 1 8:1 / / rw - ext4 /dev/sda1 rw",
            "712 29 0:4 mnt:[4026532281] /run/x rw - nsfs nsfs rw",
            "712 29 0:4 net:[] /run/x rw - nsfs nsfs rw",
        ] {
            assert_eq!(netns_mount(line), None, "{line}");
        }
    }
}
