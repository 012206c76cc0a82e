//! The configuration of a running agent, and its reload.

use std::path::{Path, PathBuf};

use tracing::{error, warn};

use crate::{
    config::{ConfigError, Loaded, Settings, Source},
    protocol::Sources,
    text::chain,
};

/// The sources of the settings, and the outcome of reading them.
#[derive(Debug)]
pub(super) struct Configuration {
    source: Source,
    /// The files that were read last.
    files: Vec<String>,
    /// The failure of the last reload, which changed nothing; none if it succeeded.
    error: Option<String>,
    /// Keys that changed and take effect after a restart.
    at_next_start: Vec<&'static str>,
    /// How often settings were reloaded.
    reloads: u64,
}

impl Configuration {
    pub(super) fn new(source: Source, files: &[PathBuf]) -> Self {
        Self {
            source,
            files: displayed(files),
            error: None,
            at_next_start: Vec::new(),
            reloads: 0,
        }
    }

    /// Returns the failure of the last reload; none if it succeeded.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Returns the sources for the status.
    pub(super) fn sources(&self) -> Sources {
        Sources {
            files: self.files.clone(),
            reloads: self.reloads,
            error: self.error.clone(),
            at_next_start: self
                .at_next_start
                .iter()
                .copied()
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Returns the files that were read last, in one line.
    pub(super) fn files(&self) -> String {
        self.files.join(", ")
    }

    /// Reads the configuration again and changes `settings`. A failure is logged and changes nothing. Returns
    /// whether it succeeded.
    pub(super) fn reload(&mut self, settings: &mut Settings) -> bool {
        let Loaded {
            settings: new,
            files,
        } = match self.load() {
            Ok(loaded) => loaded,
            Err(failure) => {
                error!(
                    "reload failed, the settings stay as they were: {}",
                    chain(&failure)
                );
                return false;
            }
        };
        self.files = displayed(&files);
        self.at_next_start = settings.reload(new);
        self.reloads += 1;
        for key in &self.at_next_start {
            warn!("`{key}` changed; it takes effect after a restart");
        }
        log_note(settings);
        true
    }

    fn load(&mut self) -> Result<Loaded, ConfigError> {
        let loaded = self.source.load();
        self.error = loaded.as_ref().err().map(|error| chain(error));
        loaded
    }
}

fn displayed(files: &[PathBuf]) -> Vec<String> {
    let paths = files.iter().map(PathBuf::as_path);
    paths
        .map(Path::display)
        .map(|path| path.to_string())
        .collect()
}

/// Logs settings that the operator may not have intended.
pub(super) fn log_note(settings: &Settings) {
    if let Some(note) = settings.policy.note() {
        warn!("{note}");
    }
}
