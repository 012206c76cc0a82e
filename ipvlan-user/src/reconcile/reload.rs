//! Other settings for a running agent.

use tracing::{error, info, warn};

use super::{Agent, chain, parent::Parent};
use crate::config::{ConfigError, Loaded, Settings, Source};

/// Where the settings are from, and how reading them went.
#[derive(Debug)]
pub(super) struct Configuration {
    source: Source,
    /// What was read last.
    pub(super) files: Vec<String>,
    /// Why the last reload changed nothing; none if it did.
    pub(super) error: Option<String>,
    /// Keys that say something else by now and take effect at the next start.
    pub(super) waiting: Vec<&'static str>,
    /// How often settings were taken over.
    pub(super) reloads: u64,
}

impl Configuration {
    pub(super) fn new(source: Source, files: &[std::path::PathBuf]) -> Self {
        Self {
            source,
            files: shown(files),
            error: None,
            waiting: Vec::new(),
            reloads: 0,
        }
    }

    fn load(&mut self) -> Result<Loaded, ConfigError> {
        let loaded = self.source.load();
        self.error = loaded.as_ref().err().map(|error| chain(error));
        loaded
    }
}

fn shown(files: &[std::path::PathBuf]) -> Vec<String> {
    let show = |file: &std::path::PathBuf| file.display().to_string();
    files.iter().map(show).collect()
}

/// Logs settings that the operator may not have intended.
pub(super) fn warn_of(settings: &Settings) {
    if let Some(note) = settings.policy.note() {
        warn!("{note}");
    }
}

impl Agent {
    /// Reads the configuration again. Returns whether there are other settings now, which a sync is to
    /// follow; if they cannot be had, nothing changes.
    pub(super) fn reload(&mut self) -> bool {
        let Loaded { settings, files } = match self.configuration.load() {
            Ok(loaded) => loaded,
            Err(failure) => {
                error!(
                    "reload failed, the settings stay as they were: {}",
                    chain(&failure)
                );
                return false;
            }
        };
        self.configuration.files = shown(&files);
        self.configuration.waiting = self.settings.reload(settings);
        self.configuration.reloads += 1;
        for key in &self.configuration.waiting {
            warn!("`{key}` is another now: it takes effect at the next start");
        }
        warn_of(&self.settings);
        self.change_parents();
        info!(
            files = self.configuration.files.join(", "),
            "settings reloaded"
        );
        true
    }

    /// Lets go of the parents that nobody asks for any more, and takes in the new ones: they wait until
    /// the next sync.
    fn change_parents(&mut self) {
        let mut before = std::mem::take(&mut self.parents);
        for name in &self.settings.parents {
            let known = before.iter().position(|parent| parent.is_called(name));
            let mut parent = known.map_or_else(
                || Parent::new(name.clone(), self.netns),
                |index| before.remove(index),
            );
            parent.ask_for(name.clone());
            self.parents.push(parent);
        }
        for parent in before {
            if parent.is_serving() {
                info!(
                    parent = parent.name(),
                    "detaching: it is not asked for any more"
                );
            }
            for failure in parent.detach() {
                error!("{}", chain(&failure));
            }
        }
    }
}
