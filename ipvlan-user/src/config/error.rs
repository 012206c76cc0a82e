//! Why there are no settings.

use std::{io, path::PathBuf};

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file, or the directory of files, cannot be read.
    #[error("configuration {}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a directory, a socket, ….
    #[error("configuration {}: not a regular file", path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
    },
    /// More than anybody would write.
    #[error("{}:{line}:1: more than {limit} bytes up to this line", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Where reading ended.
        line: usize,
        /// How much is read.
        limit: usize,
    },
    /// Something in a file is wrong.
    #[error("{}:{line}:{column}: {}{message}", path.display(), of(key.as_deref()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The character in it, counted from 1.
        column: usize,
        /// The key it is about; none if it is not even TOML there.
        key: Option<String>,
        /// What is wrong.
        message: String,
    },
    /// Nobody said what is to be served.
    #[error("no parent is named, neither on the command line nor in {} or config.d beside it", file.display())]
    NoParent {
        /// The file that might have.
        file: PathBuf,
    },
}

fn of(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!("`{key}`: "))
}

impl ConfigError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoParent { file } => Some(format!(
                "name the interface that the children are behind: `--iface eth0`, or \
                 `iface = [\"eth0\"]` in {}",
                file.display()
            )),
            Self::Invalid { key: Some(_), .. } => Some(
                "keys and values are those of the long options: `ipvlan run --help`".to_owned(),
            ),
            Self::Unreadable { .. }
            | Self::NotAFile { .. }
            | Self::TooLong { .. }
            | Self::Invalid { key: None, .. } => None,
        }
    }
}
