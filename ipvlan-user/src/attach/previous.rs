//! Programs that a previous agent left attached to a parent.

use aya::programs::links::FdLink;
use ipvlan_common::Hook;

use super::{
    AttachError, XdpMode,
    filter::{self, Filter},
};
use crate::{
    model::HookPoint,
    pins::{
        ParentPins,
        link::{self, OpenedLink},
    },
};

/// Links by their pins, filters by their names.
#[derive(Debug, Default)]
pub(super) struct Previous {
    links: Vec<(HookPoint, FdLink)>,
    xdp: Vec<(XdpMode, FdLink)>,
    filters: Vec<Filter>,
    had_filters: bool,
    any: bool,
}

impl Previous {
    /// Looks at a parent of the current netns.
    pub(super) fn find(ifindex: u32, pins: Option<&ParentPins>) -> Result<Self, AttachError> {
        let filters = filter::ours(ifindex).map_err(|source| AttachError::Filters { source })?;
        let mut found = Self {
            had_filters: !filters.is_empty(),
            filters,
            ..Self::default()
        };
        if let Some(pins) = pins {
            for point in [Hook::Ingress, Hook::Egress].map(HookPoint::Parent) {
                let link = open(pins, &point.pin_name(), ifindex)?;
                found.links.extend(link.map(|link| (point, link)));
            }
            for mode in XdpMode::ALL {
                let link = open(pins, mode.word(), ifindex)?;
                found.xdp.extend(link.map(|link| (mode, link)));
            }
        }
        found.any = found.had_filters || !found.links.is_empty() || !found.xdp.is_empty();
        Ok(found)
    }

    /// Whether there was anything.
    pub(super) const fn any(&self) -> bool {
        self.any
    }

    /// Whether there were filters.
    pub(super) const fn had_filters(&self) -> bool {
        self.had_filters
    }

    pub(super) fn take_link(&mut self, point: HookPoint) -> Option<FdLink> {
        take(&mut self.links, |(of, _)| *of == point).map(|(_, link)| link)
    }

    /// Returns a link that is not adopted: it is detached when another one is attached.
    pub(super) fn return_link(&mut self, point: HookPoint, link: FdLink) {
        self.links.push((point, link));
    }

    /// Returns a filter that is not adopted.
    pub(super) fn return_filter(&mut self, filter: Filter) {
        self.filters.push(filter);
    }

    pub(super) fn take_filter(&mut self, hook: Hook) -> Option<Filter> {
        take(&mut self.filters, |filter| filter.hook == hook)
    }

    pub(super) fn take_xdp(&mut self, mode: XdpMode) -> Option<FdLink> {
        take(&mut self.xdp, |(of, _)| *of == mode).map(|(_, link)| link)
    }

    /// Whether there is an XDP program.
    pub(super) const fn has_xdp(&self) -> bool {
        !self.xdp.is_empty()
    }

    /// Takes the XDP programs off.
    pub(super) fn detach_xdp(&mut self, pins: Option<&ParentPins>) -> Result<(), AttachError> {
        while let Some((mode, link)) = self.xdp.pop() {
            unpin(pins, mode.word())?;
            drop(link);
        }
        Ok(())
    }

    /// Detaches all programs that were not adopted. All of them are tried; every failure is returned.
    pub(super) fn detach(mut self, pins: Option<&ParentPins>) -> Vec<AttachError> {
        let mut errors = Vec::new();
        errors.extend(self.detach_xdp(pins).err());
        for (point, link) in self.links {
            errors.extend(unpin(pins, &point.pin_name()).err());
            drop(link);
        }
        for filter in self.filters {
            let gone = filter.delete();
            errors.extend(gone.err().map(|source| AttachError::Filters { source }));
        }
        errors
    }
}

/// A pinned link of this parent. One of a parent that is gone is unpinned.
fn open(pins: &ParentPins, name: &str, ifindex: u32) -> Result<Option<FdLink>, AttachError> {
    match link::open(pins, name)? {
        Some(OpenedLink { link, ifindex: of }) if of == ifindex => Ok(Some(link)),
        Some(_) => unpin(Some(pins), name).map(|()| None),
        None => Ok(None),
    }
}

fn unpin(pins: Option<&ParentPins>, name: &str) -> Result<(), AttachError> {
    let Some(pins) = pins else { return Ok(()) };
    Ok(pins.unpin(name)?)
}

fn take<T>(from: &mut Vec<T>, is_it: impl Fn(&T) -> bool) -> Option<T> {
    let index = from.iter().position(is_it)?;
    Some(from.swap_remove(index))
}
