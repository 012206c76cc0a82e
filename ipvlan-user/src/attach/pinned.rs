//! What is pinned, watched, and pinned again if somebody else removes it.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    path::PathBuf,
    task::{Context, Poll, ready},
};

use aya::{
    maps::{MapData, MapInfo},
    programs::links::{FdLink, PinnedLink},
};
use ipvlan_common::maps;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::{Interest, unix::AsyncFd};

use super::{AttachError, ParentPins, link};

/// Everything of one parent that is pinned. Holds a second handle of each object: pinning a link
/// consumes its handle even when it fails, and the one that keeps the program attached must not be lost.
#[derive(Debug)]
pub(super) struct Pinned {
    links: Vec<PinnedOne>,
    maps: Vec<(&'static str, u32, MapData)>,
    watch: AsyncFd<Watch>,
}

/// Removals and renames in the directories.
#[derive(Debug)]
struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A pinned link.
#[derive(Debug)]
pub(super) struct PinnedOne {
    name: &'static str,
    id: u32,
    /// None after pinning it again has failed.
    spare: Option<FdLink>,
}

impl PinnedOne {
    /// Pins a link, unless it is pinned there. If that fails it is not attached any more.
    pub(super) fn pin(
        dir: &ParentPins,
        name: &'static str,
        link: FdLink,
    ) -> Result<(FdLink, Self), AttachError> {
        let _acting = dir.act();
        let path = dir.link(name);
        let failed = |source| AttachError::PinnedLink {
            path: dir.shown(name),
            source,
        };
        let id = link::id(&link).map_err(failed)?;
        let link = if link::is_pinned(id, &path) {
            link
        } else {
            dir.unpin(name)?;
            let pinned = link.pin(&path);
            pinned
                .map_err(|error| failed(io::Error::other(error)))?
                .into()
        };
        let spare = PinnedLink::from_pin(&path).map_err(|error| failed(io::Error::other(error)))?;
        let spare = Some(spare.into());
        Ok((link, Self { name, id, spare }))
    }
}

impl Pinned {
    /// Opens the maps once more, which are pinned already, and watches the directories. Must be called
    /// within a tokio runtime.
    pub(super) fn new(dir: &ParentPins, links: Vec<PinnedOne>) -> Result<Self, AttachError> {
        let _acting = dir.act();
        let pins = dir.maps()?.ok_or_else(|| no_maps(dir))?;
        let mut held = Vec::new();
        for name in maps::ALL {
            let path = pins.map(name);
            let failed = |error: aya::maps::MapError| AttachError::PinnedLink {
                path: pins.shown(name),
                source: io::Error::other(error),
            };
            let id = MapInfo::from_pin(&path).map_err(failed)?.id();
            held.push((name, id, MapData::from_pin(&path).map_err(failed)?));
        }
        Ok(Self {
            links,
            maps: held,
            watch: watch(dir).map_err(|source| watching(dir, source))?,
        })
    }

    /// Unpins the link of this name, and gives up its second handle.
    pub(super) fn unpin(&mut self, dir: &ParentPins, name: &str) -> Result<(), AttachError> {
        self.links.retain(|one| one.name != name);
        Ok(dir.unpin(name)?)
    }

    /// Keeps a link, which is pinned, in the place of the one of this name.
    pub(super) fn replace(&mut self, name: &str, link: Option<PinnedOne>) {
        self.links.retain(|one| one.name != name);
        self.add(link);
    }

    /// Keeps one more link, which is pinned.
    pub(super) fn add(&mut self, link: Option<PinnedOne>) {
        self.links.extend(link);
    }

    /// Waits until something in the directories was removed or renamed.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.watch.poll_read_ready(context))?;
            match ready.get_inner().0.read_events() {
                // Which one is found out by looking.
                Ok(_) => return Poll::Ready(Ok(())),
                Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// Pins again what is not there. Returns how many objects it was.
    pub(super) fn repair(&mut self, dir: &mut ParentPins) -> Result<usize, AttachError> {
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
            let failed = |source| AttachError::PinnedLink {
                path: pins.shown(name),
                source,
            };
            pins.unpin(name)?;
            map.pin(&path)
                .map_err(|error| failed(io::Error::other(error)))?;
            repaired += 1;
        }
        for one in &mut self.links {
            let path = dir.link(one.name);
            if link::is_pinned(one.id, &path) {
                continue;
            }
            let failed = |source| AttachError::PinnedLink {
                path: dir.shown(one.name),
                source,
            };
            dir.unpin(one.name)?;
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
            self.watch = watch(dir).map_err(|source| watching(dir, source))?;
        }
        Ok(repaired)
    }
}

fn no_maps(dir: &ParentPins) -> AttachError {
    AttachError::PinnedLink {
        path: PathBuf::from(dir.path()),
        source: io::Error::other("its maps are gone"),
    }
}

fn watch(dir: &ParentPins) -> io::Result<AsyncFd<Watch>> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let flags = AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_ONLYDIR;
    let _acting = dir.act();
    inotify.add_watch(&dir.link("."), flags)?;
    if let Ok(Some(maps)) = dir.maps() {
        inotify.add_watch(&maps.place(), flags)?;
    }
    // SAFETY: `Watch` owns its descriptor, never changes it, and closes it when dropped.
    Ok(unsafe { AsyncFd::register_with_interest(Watch(inotify), Interest::READABLE) }?)
}

fn watching(dir: &ParentPins, source: io::Error) -> AttachError {
    AttachError::PinnedLink {
        path: PathBuf::from(dir.path()),
        source,
    }
}
