//! Pinned links: created, opened again, examined.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use aya::{
    programs::links::{FdLink, LinkError, PinnedLink},
    sys::SyscallError,
};

use super::{ParentPins, PinError};

/// A pinned link.
#[derive(Debug)]
pub(crate) struct LinkPin {
    pub(super) name: String,
    pub(super) id: u32,
    /// None after pinning it again has failed.
    pub(super) spare: Option<FdLink>,
}

impl LinkPin {
    /// Pins a link, unless it is pinned there. If that fails it is not attached any more.
    pub(crate) fn pin(
        dir: &ParentPins,
        name: String,
        link: FdLink,
    ) -> Result<(FdLink, Self), PinError> {
        let _acting = dir.act();
        let path = dir.link(&name);
        let failed = |source| PinError::Object {
            path: dir.shown(&name),
            source,
        };
        let id = id(&link).map_err(failed)?;
        let link = if is_pinned(id, &path) {
            link
        } else {
            dir.unpin(&name)?;
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

/// A link that was opened by its pin.
#[derive(Debug)]
pub(crate) struct OpenedLink {
    pub(crate) link: FdLink,
    /// Interface that it is attached to; 0 if that is gone.
    pub(crate) ifindex: u32,
}

/// Opens the link that is pinned under this name, if there is one. Any other object there is removed: the
/// directory is ours.
pub(crate) fn open(pins: &ParentPins, name: &str) -> Result<Option<OpenedLink>, PinError> {
    let failed = |source| PinError::Object {
        path: pins.shown(name),
        source,
    };
    let _acting = pins.act();
    let link = match PinnedLink::from_pin(pins.link(name)) {
        Ok(link) => FdLink::from(link),
        Err(LinkError::SyscallError(SyscallError { io_error, .. }))
            if io_error.kind() == ErrorKind::NotFound =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(other(error))),
    };
    if let Some(ifindex) = ifindex(&link).map_err(failed)? {
        return Ok(Some(OpenedLink { link, ifindex }));
    }
    pins.unpin(name)?;
    Ok(None)
}

/// Whether the link that is pinned there is this one.
pub(crate) fn is_pinned(id: u32, path: &Path) -> bool {
    PinnedLink::from_pin(path)
        .map(FdLink::from)
        .and_then(|link| link.info())
        .is_ok_and(|info| info.id() == id)
}

/// The kernel's id of a link.
pub(crate) fn id(link: &FdLink) -> io::Result<u32> {
    link.info().map(|info| info.id()).map_err(other)
}

/// Returns the interface that a link is attached to, from what the kernel shows of our descriptors
/// (`bpf_tcx_link_fdinfo`, `bpf_xdp_link_show_fdinfo`): aya returns only the id of a link. None if this is
/// not a link of an interface.
fn ifindex(link: &FdLink) -> io::Result<Option<u32>> {
    let Ok(id) = id(link) else { return Ok(None) };
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        // The descriptor of this very directory is among them, and gone by now.
        let Ok(shown) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        if field(&shown, "link_id") == Some(id) {
            return Ok(field(&shown, "ifindex"));
        }
    }
    Ok(None)
}

fn field(shown: &str, name: &str) -> Option<u32> {
    shown
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|value| value.trim().parse().ok())
}

fn other(error: LinkError) -> io::Error {
    match error {
        LinkError::SyscallError(SyscallError { io_error, .. }) => io_error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_of_a_descriptor_are_found_by_their_whole_name() {
        let shown = "pos:\t0\nlink_type:\ttcx\nlink_id:\t7\nprog_id:\t9\nifindex:\t0\n";
        assert_eq!(field(shown, "link_id"), Some(7));
        assert_eq!(field(shown, "ifindex"), Some(0));
        assert_eq!(field(shown, "id"), None);
        assert_eq!(field(shown, "link_type"), None);
    }
}
