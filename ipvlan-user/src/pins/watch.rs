//! Removals and renames in the directories of a parent.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    task::{Context, Poll, ready},
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::ParentPins;

/// Watches the directories of one parent.
#[derive(Debug)]
pub(super) struct Watch(AsyncFd<Events>);

#[derive(Debug)]
struct Events(Inotify);

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watch {
    /// Begins to watch. Must be called within a tokio runtime.
    pub(super) fn new(dir: &ParentPins) -> io::Result<Self> {
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
        // SAFETY: `Events` owns its descriptor, never changes it, and closes it when dropped.
        let events =
            unsafe { AsyncFd::register_with_interest(Events(inotify), Interest::READABLE) }?;
        Ok(Self(events))
    }

    /// Waits until something in the directories was removed or renamed.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(context))?;
            match ready.get_inner().0.read_events() {
                // Which one is found out by looking.
                Ok(_) => return Poll::Ready(Ok(())),
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }
}
