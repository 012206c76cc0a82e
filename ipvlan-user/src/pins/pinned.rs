//! The pinned links and maps of a parent, which are pinned again if another process removes a pin.

use std::{
    io,
    path::PathBuf,
    task::{Context, Poll},
};

use aya::maps::{MapData, MapInfo};
use ipvlan_common::maps;

use super::{
    ParentPins, PinError,
    link::{self, LinkPin},
    watch::Watch,
};

/// Everything of one parent that is pinned. Holds a second handle of each object: pinning a link
/// consumes its handle even when it fails, and the one that keeps the program attached must not be lost.
#[derive(Debug)]
pub(crate) struct Pinned {
    links: Vec<LinkPin>,
    maps: Vec<(&'static str, u32, MapData)>,
    watch: Watch,
}

impl Pinned {
    /// Opens the maps once more, which are pinned already, and watches the directories. Must be called
    /// within a tokio runtime.
    pub(crate) fn new(dir: &ParentPins, links: Vec<LinkPin>) -> Result<Self, PinError> {
        let _acting = dir.act();
        let pins = dir.maps()?.ok_or_else(|| no_maps(dir))?;
        let mut held = Vec::new();
        for name in maps::ALL {
            let path = pins.map(name);
            let failed = |error: aya::maps::MapError| PinError::Object {
                path: pins.shown(name),
                source: io::Error::other(error),
            };
            let id = MapInfo::from_pin(&path).map_err(failed)?.id();
            held.push((name, id, MapData::from_pin(&path).map_err(failed)?));
        }
        Ok(Self {
            links,
            maps: held,
            watch: watch(dir)?,
        })
    }

    /// Iterates over the pinned maps: their names, and their ids in the kernel.
    pub(crate) fn map_ids(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.maps.iter().map(|&(name, id, _)| (name, id))
    }

    /// Unpins the link of this name, and gives up its second handle.
    pub(crate) fn unpin(&mut self, dir: &ParentPins, name: &str) -> Result<(), PinError> {
        self.links.retain(|one| one.name != name);
        dir.unpin(name)
    }

    /// Keeps a link, which is pinned, in the place of the one of this name.
    pub(crate) fn replace(&mut self, name: &str, link: Option<LinkPin>) {
        self.links.retain(|one| one.name != name);
        self.add(link);
    }

    /// Keeps one more link, which is pinned.
    pub(crate) fn add(&mut self, link: Option<LinkPin>) {
        self.links.extend(link);
    }

    /// Waits until something in the directories was removed or renamed.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch.poll(context)
    }

    /// Restores pins that are missing. Returns how many.
    pub(crate) fn repair(&mut self, dir: &mut ParentPins) -> Result<usize, PinError> {
        let mut repaired = 0;
        dir.restore()?;
        let dir = &*dir;
        let _acting = dir.act();
        let pins = dir.maps()?.ok_or_else(|| no_maps(dir))?;
        for (name, id, map) in &self.maps {
            let path = pins.map(name);
            if MapInfo::from_pin(&path).is_ok_and(|info| info.id() == *id) {
                continue;
            }
            let failed = |source| PinError::Object {
                path: pins.shown(name),
                source,
            };
            pins.unpin(name)?;
            map.pin(&path)
                .map_err(|error| failed(io::Error::other(error)))?;
            repaired += 1;
        }
        for one in &mut self.links {
            let path = dir.link(&one.name);
            if link::is_pinned(one.id, &path) {
                continue;
            }
            let failed = |source| PinError::Object {
                path: dir.shown(&one.name),
                source,
            };
            dir.unpin(&one.name)?;
            let gone = || failed(io::Error::other("it could not be pinned again"));
            let spare = one.spare.take().ok_or_else(gone)?;
            let pinned = spare
                .pin(&path)
                .map_err(|error| failed(io::Error::other(error)))?;
            one.spare = Some(pinned.into());
            repaired += 1;
        }
        if repaired > 0 {
            // The directories may be other ones.
            self.watch = watch(dir)?;
        }
        Ok(repaired)
    }
}

fn watch(dir: &ParentPins) -> Result<Watch, PinError> {
    Watch::new(dir).map_err(|source| PinError::Object {
        path: PathBuf::from(dir.path()),
        source,
    })
}

fn no_maps(dir: &ParentPins) -> PinError {
    PinError::Object {
        path: PathBuf::from(dir.path()),
        source: io::Error::other("its maps are gone"),
    }
}
