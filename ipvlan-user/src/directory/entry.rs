//! What is known of an entry of a directory.

use std::{fs::File, io};

use nix::sys::stat::{FileStat, SFlag, fstat};

use super::OTHERS;

/// An entry of a directory, as it was when it was examined.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub(super) stat: FileStat,
}

impl Entry {
    /// Examines an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self { stat: fstat(file)? })
    }

    /// Returns its inode number.
    #[must_use]
    pub const fn inode(&self) -> u64 {
        self.stat.st_ino
    }

    /// Returns whether only its owner and root can open it.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.stat.st_mode & OTHERS == 0
    }

    /// Returns its type.
    #[must_use]
    pub const fn kind(&self) -> SFlag {
        SFlag::from_bits_truncate(self.stat.st_mode & SFlag::S_IFMT.bits())
    }

    pub(super) const fn word(&self) -> &'static str {
        match self.kind() {
            SFlag::S_IFREG => "a regular file",
            SFlag::S_IFDIR => "a directory",
            SFlag::S_IFLNK => "a symbolic link",
            SFlag::S_IFIFO => "a FIFO",
            SFlag::S_IFSOCK => "a socket",
            SFlag::S_IFCHR | SFlag::S_IFBLK => "a device",
            _ => "a file of an unknown type",
        }
    }
}
