//! What the user asked for: the command line and the configuration files in, [`Settings`] out.
//!
//! ```text
//! defaults ◄─ config.toml ◄─ config.d/*.toml ◄─ command line        (each goes before what is left of it)
//! ```
//!
//! All of them say the same things in the same words: the keys of a file are the long options of
//! `ipvlan run`. What one says replaces what those before it said, lists too. A value is checked where
//! it is read, so an error names its place, and whoever has [`Settings`] need not check them again.

mod error;
mod file;
mod options;
mod settings;
mod value;

use std::path::{Path, PathBuf};

pub use self::{
    error::ConfigError,
    options::Options,
    settings::{
        DEFAULT_AUDIT, DEFAULT_MAX_ADDRESSES, DEFAULT_MAX_CHILDREN, DEFAULT_STALE_AFTER,
        PinSettings, Settings,
    },
    value::{AUDIT, InterfaceName, NameError, ROOM, STALE_AFTER, XdpChoice},
};

/// The configuration file that need not be there.
pub const DEFAULT_FILE: &str = "/etc/ipvlan/config.toml";

/// Where settings come from. They can be read from it again and again.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file that the user named.
    pub file: Option<PathBuf>,
    /// What the command line says.
    pub overrides: Options,
}

/// What was read, and from where.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the agent is to do.
    pub settings: Settings,
    /// The files that were read, in the order they were.
    pub files: Vec<PathBuf>,
}

impl Source {
    /// Reads the files and makes settings of everything.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let file = self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        let files = file::list(file, self.file.is_some())?;
        let mut options = Options::default();
        for path in &files {
            options = file::read(path)?.over(options);
        }
        let options = self.overrides.clone().over(options);
        let settings = Settings::new(options).ok_or_else(|| ConfigError::NoParent {
            file: file.to_owned(),
        })?;
        Ok(Loaded { settings, files })
    }
}
