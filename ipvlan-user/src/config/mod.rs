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
mod places;
mod rule;
mod settings;
mod value;

use std::path::{Path, PathBuf};

pub use self::{
    error::ConfigError,
    options::Options,
    places::Places,
    settings::{
        DEFAULT_ANNOUNCE_RATE, DEFAULT_AUDIT, DEFAULT_MAX_ADDRESSES, DEFAULT_MAX_CHILDREN,
        DEFAULT_STALE_AFTER, PinSettings, Settings,
    },
    value::{
        AUDIT, InterfaceName, NameError, PERCENT, RATE, ROOM, STALE_AFTER, StaleAfter,
        StaleAfterError, XdpChoice,
    },
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
        let files = self.list()?;
        let mut options = Options::default();
        for path in &files {
            options = file::read(path)?.over(options);
        }
        let options = self.overrides.clone().over(options);
        let settings = Settings::new(options).ok_or_else(|| ConfigError::NoParent {
            file: self.first().to_owned(),
        })?;
        Ok(Loaded { settings, files })
    }

    /// Reads where an agent of this configuration keeps its files. What is wrong with files that nobody
    /// named is no error: an agent may run all the same, with what they said before. It is told, and the
    /// others count.
    pub fn places(&self) -> Result<(Places, Vec<ConfigError>), ConfigError> {
        let given = self.overrides.clone();
        if let (Some(_), Some(_)) = (&given.pin_dir, &given.runtime_dir) {
            return Ok((Places::new(given.pin_dir, given.runtime_dir), Vec::new()));
        }
        let is_named = self.file.is_some();
        let (read, mut ignored) = file::read_what_can_be(self.first(), is_named);
        if is_named && !ignored.is_empty() {
            return Err(ignored.remove(0));
        }
        let Options {
            pin_dir,
            runtime_dir,
            ..
        } = given.over(read);
        Ok((Places::new(pin_dir, runtime_dir), ignored))
    }

    fn list(&self) -> Result<Vec<PathBuf>, ConfigError> {
        file::list(self.first(), self.file.is_some())
    }

    fn first(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }
}
