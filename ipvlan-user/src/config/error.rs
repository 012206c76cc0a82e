//! Errors of the configuration.

use std::{io, path::PathBuf};

use crate::text::escaped_path;

/// Error of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file, or the directory of files, cannot be read.
    #[error("read the configuration in {}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The error of the kernel.
        source: io::Error,
    },
    /// A configuration file is a directory, a socket, or another special file.
    #[error("the configuration file {} is not a regular file", path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
    },
    /// A file exceeds the limit.
    #[error("{}:{line}:1: more than {limit} bytes up to this line", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The line at which reading stopped.
        line: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A file is not TOML, or has a key or value that is not valid.
    #[error("{}:{line}:{column}: {}{message}", path.display(), of(key.as_deref()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
        /// The key; none if the file is not TOML.
        key: Option<String>,
        /// The description of the error.
        message: String,
    },
    /// A path of the command line that no configuration file can have.
    #[error(
        "{} is not UTF-8, as values of a configuration file are",
        escaped_path(path)
    )]
    NotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// Neither the command line nor a file names a parent.
    #[error("no parent is named, neither on the command line nor in {} or config.d beside it", file.display())]
    NoParent {
        /// The first file that was looked for.
        file: PathBuf,
    },
}

fn of(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!("`{key}`: "))
}

impl ConfigError {
    /// Returns a hint for the user.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoParent { file } => Some(format!(
                "name the parent interface of the children: `--iface eth0`, or \
                 `iface = [\"eth0\"]` in {}",
                file.display()
            )),
            Self::Invalid { key: Some(key), .. } if key.starts_with("rule") => Some(
                "keys of a rule: netns, name, parent, allow, deny, addresses, next-hop, answer"
                    .to_owned(),
            ),
            Self::Invalid { key: Some(_), .. } => Some(
                "keys and values are those of the long options: `ipvlan run --help`".to_owned(),
            ),
            Self::Invalid { key: None, .. } => Some(
                "the file is TOML: one `KEY = VALUE` per line, texts in quotes, lists in brackets"
                    .to_owned(),
            ),
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run as root, or let this user read it".to_owned())
            }
            Self::Unreadable { .. } | Self::NotAFile { .. } => {
                Some("name a file that exists: `--config FILE`".to_owned())
            }
            Self::TooLong { .. } | Self::NotUtf8 { .. } => None,
        }
    }
}
