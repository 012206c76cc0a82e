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

    /// Detaches the parents that are no longer in the settings, and adds those that are new in them: they wait
    /// until the next sync. A parent that stays is served all the time, whatever its name was.
    fn change_parents(&mut self) {
        let mut before = std::mem::take(&mut self.parents);
        let names = &self.settings.parents;
        // The name in the kernel goes first: a rename that no sync has seen may have given the old one to another.
        let mut kept: Vec<_> = names
            .iter()
            .map(|name| take(&mut before, |parent| parent.has_name_now(name)))
            .collect();
        for (name, kept) in names.iter().zip(&mut kept) {
            if kept.is_none() {
                *kept = take(&mut before, |parent| parent.is_called(name));
            }
        }
        for (name, kept) in names.iter().zip(kept) {
            let mut parent = kept.unwrap_or_else(|| Parent::new(name.clone(), self.netns));
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

fn take(parents: &mut Vec<Parent>, is_it: impl FnMut(&Parent) -> bool) -> Option<Parent> {
    let index = parents.iter().position(is_it)?;
    Some(parents.remove(index))
}
