//! Directories of the agents.

use std::path::PathBuf;

use crate::{pins::PIN_DIR, runtime::RUNTIME_DIR};

/// The directories of pins, lock files and sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Directory of the pins of all parents, on a BPF filesystem.
    pub pin_dir: PathBuf,
    /// Directory of lock files and sockets.
    pub runtime_dir: PathBuf,
}

impl Places {
    /// Returns these directories, or their defaults.
    pub(super) fn new(pin_dir: Option<PathBuf>, runtime_dir: Option<PathBuf>) -> Self {
        Self {
            pin_dir: pin_dir.unwrap_or_else(|| PIN_DIR.into()),
            runtime_dir: runtime_dir.unwrap_or_else(|| RUNTIME_DIR.into()),
        }
    }
}
