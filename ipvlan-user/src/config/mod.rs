//! Settings: the command line and the configuration files in, [`Settings`] out.
//!
//! ```text
//! defaults ◄─ config.toml ◄─ config.d/*.toml ◄─ command line        (each overrides what is left of it)
//! ```
//!
//! The keys of a file are the long options of `ipvlan run`. A later source overrides an earlier one, lists
//! included; only the rules of all files form one list. A value is checked where it is read, so an error names its
//! place, and [`Settings`] are valid.
//!
//! An option is a field of [`Options`], which is both its spelling and its key, and is used in [`Settings::new`],
//! which has its default.

mod error;
mod file;
mod options;
mod origin;
mod places;
mod rule;
mod settings;
mod value;
mod words;

use std::path::{Path, PathBuf};

pub use self::{
    error::ConfigError,
    file::{LIMIT as FILE_LIMIT, parse},
    options::Options,
    origin::{Origin, Setting},
    places::Places,
    settings::{
        DEFAULT_AUDIT, DEFAULT_MAX_ADDRESSES, DEFAULT_MAX_CHILDREN, DEFAULT_STALE_AFTER,
        MetricsSettings, PinSettings, Settings,
    },
    value::{
        AuditSeconds, Bounded, BoundedError, Count, InterfaceName, NameError, Percent, Rate,
        RefreshSeconds, StaleAfter, StaleAfterError,
    },
    words::XdpChoice,
};

/// The configuration file that is read by default, if it exists.
pub const DEFAULT_FILE: &str = "/etc/ipvlan/config.toml";

/// The sources of settings, which can be read repeatedly.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file that the command line names.
    pub file: Option<PathBuf>,
    /// The options of the command line.
    pub overrides: Options,
}

/// Settings and the files they were read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The files, in the order of reading.
    pub files: Vec<PathBuf>,
}

impl Source {
    /// Reads the files and merges them with the command line.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let (origins, options): (Vec<_>, Vec<_>) = self.layers()?.into_iter().unzip();
        let files = origins.into_iter().filter_map(|origin| match origin {
            Origin::File(path) => Some(path),
            Origin::Default | Origin::CommandLine => None,
        });
        Ok(Loaded {
            settings: self.settings(options)?,
            files: files.collect(),
        })
    }

    /// The same; if it fails, with the first error of each file, or that of all files together.
    pub fn check(&self) -> Result<Loaded, Vec<ConfigError>> {
        self.load().map_err(|error| {
            let (_, errors) = file::read_what_can_be(self.first(), self.file.is_some());
            if errors.is_empty() {
                vec![error]
            } else {
                errors
            }
        })
    }

    /// Reads the sources, each of which overrides those before it.
    fn layers(&self) -> Result<Vec<(Origin, Options)>, ConfigError> {
        let mut layers = Vec::new();
        for path in self.list()? {
            let options = file::read(&path)?;
            layers.push((Origin::File(path), options));
        }
        layers.push((Origin::CommandLine, self.overrides.clone()));
        Ok(layers)
    }

    fn settings(&self, layers: impl IntoIterator<Item = Options>) -> Result<Settings, ConfigError> {
        let options = layers
            .into_iter()
            .fold(Options::default(), |lower, options| options.over(lower));
        Settings::new(options).ok_or_else(|| ConfigError::NoParent {
            file: self.first().to_owned(),
        })
    }

    /// Reads the directories of an agent with this configuration. An error in a file that the command line does not
    /// name is returned beside them: an agent may run with the earlier content of that file.
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
