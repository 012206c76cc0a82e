//! Where netns can be seen: processes in /proc, names in /run, bind mounts anywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use super::DiscoverError;
use crate::{facts::Pids, text::escaped};

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
    /// Processes that live in it.
    pub(super) pids: Pids,
    /// File names it is bound to.
    pub(super) names: BTreeSet<String>,
    /// These files, as absolute paths.
    pub(super) files: BTreeSet<String>,
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
            walk.names(Path::new(directory), &devices);
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
            match stat(&path) {
                Seen::As(identity) => {
                    let found = self.found.entry(identity).or_default();
                    if found.pids.lowest().is_none_or(|lowest| pid < lowest) {
                        found.paths = vec![path];
                    }
                    found.pids.insert(pid);
                }
                Seen::Forbidden => self.opaque.push(pid),
                Seen::Gone => {}
            }
        }
        self.opaque.sort_unstable();
        Ok(())
    }

    fn names(&mut self, directory: &Path, devices: &BTreeSet<u64>) {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            // What cannot be read has no name; its processes may lead to it.
            let Ok(path) = entry.map(|entry| entry.path()) else {
                break;
            };
            if let Seen::As(identity) = stat(&path)
                && devices.contains(&identity.device)
            {
                self.named(identity, path);
            }
        }
    }

    fn mounts(&mut self) -> Result<(), DiscoverError> {
        let mounts = fs::read(MOUNTS).map_err(failed(MOUNTS))?;
        for line in mounts.split(|&byte| byte == b'\n') {
            if let Some((identity, path)) = netns_mount(line) {
                self.named(identity, path);
            }
        }
        Ok(())
    }

    fn named(&mut self, identity: Identity, path: PathBuf) {
        let found = self.found.entry(identity).or_default();
        found.files.insert(path.to_string_lossy().into_owned());
        let name = path.file_name().unwrap_or(OsStr::new("/"));
        if found.names.insert(escaped(name.as_bytes()).to_string()) {
            found.paths.push(path);
        }
    }
}

/// Returns the netns and the mount point of a line of mountinfo: `36 25 0:4 net:[4026532281] /run/x …`.
/// A mount point is bytes, as every path is.
fn netns_mount(line: &[u8]) -> Option<(Identity, PathBuf)> {
    let mut fields = line.split(|&byte| byte == b' ').skip(2);
    let mut text = || str::from_utf8(fields.next()?).ok();
    let (device, root) = (text()?, text()?);
    let point = fields.next()?;
    let inode = root
        .strip_prefix("net:[")?
        .strip_suffix(']')?
        .parse()
        .ok()?;
    let (major, minor) = device.split_once(':')?;
    let device = libc::makedev(major.parse().ok()?, minor.parse().ok()?);
    let path = OsString::from_vec(unescaped(point)).into();
    Some((Identity { device, inode }, path))
}

/// Resolves the escapes of mountinfo: a backslash and three octal digits for space, tab, line feed,
/// backslash and `#`.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let escape = behind.first_chunk::<3>().filter(|_| byte == b'\\');
        let code =
            escape.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        if code.is_some() {
            rest = &behind[3..];
        }
        bytes.push(code.unwrap_or(byte));
    }
    bytes
}

enum Seen {
    As(Identity),
    Forbidden,
    Gone,
}

/// Whatever is wrong with a path, it is wrong with that path alone.
fn stat(path: &Path) -> Seen {
    match fs::metadata(path) {
        Ok(metadata) => Seen::As(Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
        }),
        Err(error) if is_forbidden(&error) => Seen::Forbidden,
        Err(_) => Seen::Gone,
    }
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
        assert_eq!(netns_mount(line.as_bytes()), Some(expected));
    }

    #[test]
    fn a_mount_point_is_bytes() {
        let mut line = b"712 29 0:4 net:[1] /run/\xff\\134\\011\\9".to_vec();
        line.extend(b" rw - nsfs nsfs rw");
        let (_, path) = netns_mount(&line).unwrap();
        assert_eq!(path.as_os_str().as_bytes(), b"/run/\xff\\\t\\9");
    }

    #[test]
    fn other_mounts_are_not_netns() {
        for line in [
            "",
            "29 1 8:1 / / rw - ext4 /dev/sda1 rw",
            "712 29 0:4 mnt:[4026532281] /run/x rw - nsfs nsfs rw",
            "712 29 0:4 net:[] /run/x rw - nsfs nsfs rw",
        ] {
            assert_eq!(netns_mount(line.as_bytes()), None, "{line}");
        }
    }
}
