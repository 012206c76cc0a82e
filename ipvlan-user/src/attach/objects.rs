//! The loaded eBPF objects of a parent: that of its usual programs, and while frames are captured another one.

use aya::{Ebpf, EbpfLoader};
use ipvlan_common::{globals, maps};

use super::{AttachError, AttachOptions, verify};
use crate::pins::MapPins;

/// The objects. Programs are taken from the one that captures, if it is loaded.
#[derive(Debug)]
pub(super) struct Objects {
    usual: Ebpf,
    capturing: Option<Ebpf>,
}

impl Objects {
    pub(super) const fn new(usual: Ebpf) -> Self {
        Self {
            usual,
            capturing: None,
        }
    }

    /// Returns the object that programs are taken from.
    pub(super) const fn current(&mut self) -> &mut Ebpf {
        match &mut self.capturing {
            Some(object) => object,
            None => &mut self.usual,
        }
    }

    /// Returns the same, to read from.
    pub(super) const fn attached(&self) -> &Ebpf {
        match &self.capturing {
            Some(object) => object,
            None => &self.usual,
        }
    }

    /// Returns whether its programs capture frames.
    pub(super) const fn captures(&self) -> bool {
        self.capturing.is_some()
    }

    /// Takes programs from this object from now on; from the usual one if there is none. Returns the one before, whose
    /// programs may still be attached.
    pub(super) const fn set_capturing(&mut self, object: Option<Ebpf>) -> Option<Ebpf> {
        std::mem::replace(&mut self.capturing, object)
    }
}

/// Loads an object: creates its maps, or opens those that are pinned in `directory`.
pub(super) fn load(
    object: &[u8],
    cookie: u64,
    options: AttachOptions,
    directory: Option<&MapPins>,
) -> Result<Ebpf, AttachError> {
    if object.is_empty() {
        return Err(AttachError::NoObject);
    }
    let mut loader = EbpfLoader::new();
    loader.verifier_log_level(verify::LOG);
    loader.override_global(globals::HOST_COOKIE, &cookie, true);
    for map in maps::ALL {
        if let Some(entries) = options.entries(map) {
            loader.map_max_entries(map, entries);
        }
        if let Some(directory) = directory {
            loader.map_pin_path(map, directory.map(map));
        }
    }
    loader.load(object).map_err(AttachError::load)
}
