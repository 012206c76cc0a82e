//! Which hooks of a parent are used, and why: TCX or clsact, native or generic XDP or none. A program takes the place of
//! one that an earlier agent left, or is attached anew; then everything is pinned.

use ipvlan_common::Hook;
use tracing::{info, warn};

use super::{
    AttachError, Datapath, TcAttach, XdpMode,
    clsact::{self, Kind, Qdisc},
    datapath::Note,
    error::program_errno,
    tc::{Attachment, How, TcHook, TcMechanism},
    veth::deaf_peer,
    vlan::hidden_tags,
    xdp::{XdpHook, attached_program},
};
use crate::{
    model::HookPoint,
    pins::{Pinned, Pins},
    text::escaped,
};

impl Datapath {
    pub(super) fn attach(
        &mut self,
        ingress: &'static str,
        egress: &'static str,
    ) -> Result<(), AttachError> {
        let mut mechanism = match self.options.tc {
            TcAttach::Auto => None,
            TcAttach::Tcx => Some(TcMechanism::Tcx),
            TcAttach::Clsact => Some(TcMechanism::Clsact),
        };
        // Programs of the previous agent that are not adopted are detached in the end; a try after a failed one finds
        // the rest.
        let mut hooks = vec![(Hook::Ingress, ingress)];
        if self.options.host_access {
            hooks.push((Hook::Egress, egress));
        }
        let mut attached = Vec::new();
        for (hook, program) in hooks {
            let Some(hook) = self.attach_tc(hook, program, mechanism)? else {
                continue;
            };
            mechanism = Some(hook.mechanism());
            attached.push(hook);
        }
        let mut attached = attached.into_iter();
        self.ingress = attached.next();
        self.egress = attached.next();
        self.attach_xdp()?;
        self.adopt_qdisc();
        for failure in std::mem::take(&mut self.previous).detach(self.pins.dir()) {
            warn!(
                parent = self.name,
                "could not remove the previous agent's programs: {failure}"
            );
        }
        self.pin()?;
        // All of it is found again.
        self.impeded.clear();
        self.check_order();
        Ok(())
    }

    /// Attaches a TC program, or replaces the one of an earlier agent if that has the right place. None if the qdisc
    /// of the parent has no place for it.
    pub(super) fn attach_tc(
        &mut self,
        hook: Hook,
        program: &'static str,
        mechanism: Option<TcMechanism>,
    ) -> Result<Option<TcHook>, AttachError> {
        let (ifindex, order, point) = (self.ifindex, self.options.order, HookPoint::Parent(hook));
        let is_right = |of: &Attachment| {
            of.place(ifindex, hook)
                .map_or(true, |place| place.is_right(order))
        };
        if mechanism != Some(TcMechanism::Clsact) {
            if let Some(link) = self.previous.take_link(point) {
                let attachment = Attachment::Link(link);
                if is_right(&attachment) {
                    return TcHook::adopt(&mut self.objects, point, program, attachment).map(Some);
                }
                if let Attachment::Link(link) = attachment {
                    self.previous.return_link(point, link);
                }
            }
            let tcx = How {
                mechanism: TcMechanism::Tcx,
                order,
            };
            match TcHook::attach(&mut self.objects, ifindex, point, program, tcx) {
                // A kernel without TCX does not know the attach type.
                Err(error) if is_unknown_attach_type(&error) => {
                    if mechanism == Some(TcMechanism::Tcx) {
                        return Err(AttachError::NoTcx);
                    }
                }
                result => return result.map(Some),
            }
        }
        if let Some(filter) = self.previous.take_filter(hook) {
            let attachment = Attachment::Filter(filter);
            if is_right(&attachment) {
                return TcHook::adopt(&mut self.objects, point, program, attachment).map(Some);
            }
            if let Attachment::Filter(filter) = attachment {
                self.previous.return_filter(filter);
            }
        }
        if !self.ensure_qdisc(hook)? {
            return Ok(None);
        }
        let clsact = How {
            mechanism: TcMechanism::Clsact,
            order,
        };
        TcHook::attach(&mut self.objects, ifindex, point, program, clsact).map(Some)
    }

    /// Adds a qdisc for filters unless there is one. Returns whether it has a place for filters of this hook: one of
    /// kind `ingress`, which another process has added, has none for frames that are sent.
    pub(super) fn ensure_qdisc(&mut self, hook: Hook) -> Result<bool, AttachError> {
        let qdisc = Qdisc::ensure(&self.name, self.ifindex)?;
        if qdisc.is_ours() {
            if let Pins::Keep(dir) = &self.pins {
                dir.mark_clsact()?;
            }
            // The one before is gone.
            if let Some(before) = self.qdisc.replace(qdisc) {
                before.keep();
            }
        } else if self.qdisc.is_none() {
            self.qdisc = Some(qdisc);
        }
        if hook != Hook::Egress || clsact::kind(self.ifindex).ok() != Some(Some(Kind::Ingress)) {
            return Ok(true);
        }
        let name = escaped(self.name.as_bytes());
        self.impeded.push(format!(
            "another process has added an ingress qdisc, which has no place for the egress program: host and \
             children do not reach each other (`tc qdisc del dev {name} ingress` removes it; with a clsact qdisc \
             filters of both kinds work)"
        ));
        Ok(false)
    }

    fn attach_xdp(&mut self) -> Result<(), AttachError> {
        let Some(mode) = self.options.xdp else {
            return Ok(());
        };
        if let Some(reason) = self.unfit(mode) {
            self.previous.detach_xdp(self.pins.dir())?;
            self.without_xdp(reason);
            return Ok(());
        }
        let hook = if let Some(link) = self.previous.take_xdp(mode) {
            XdpHook::adopt(&mut self.objects, mode, link)
        } else {
            // One of another mode is in the way; the TC programs answer meanwhile.
            self.previous.detach_xdp(self.pins.dir())?;
            XdpHook::attach(&mut self.objects, &self.name, self.ifindex, mode)
        };
        match hook {
            Ok(hook) => self.xdp = Some(hook),
            Err(error @ AttachError::ForeignXdp { .. }) => {
                let note = format!("{error}: it stays, and the TC programs answer");
                warn!(parent = self.name, "{note}");
                self.note = Some(Note::Foreign(note));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Returns why an XDP program does not do on this parent; none if it does.
    fn unfit(&self, mode: XdpMode) -> Option<String> {
        if let Some(hidden) = hidden_tags(self.ifindex) {
            return Some(hidden.to_string());
        }
        let is_ours = self.xdp.is_some() || self.previous.has_xdp();
        let is_foreign = || matches!(attached_program(self.ifindex), Ok(Some(_)));
        // A foreign program is the better reason.
        if mode == XdpMode::Generic || (!is_ours && is_foreign()) {
            return None;
        }
        deaf_peer(self.ifindex).map(|deaf| deaf.to_string())
    }

    fn without_xdp(&mut self, note: String) {
        warn!(parent = self.name, "{note}");
        self.note = Some(Note::Unfit(note));
    }

    /// Detaches the XDP program if it does not do on this parent by now, and attaches it again if it does: VLAN
    /// offload and the peer of a veth can change at any time.
    ///
    /// # Errors
    ///
    /// What could not be attached or detached. The TC programs answer then.
    pub fn check_xdp(&mut self) -> Result<(), AttachError> {
        let Some(mode) = self.options.xdp.filter(|_| self.ingress.is_some()) else {
            return Ok(());
        };
        match (self.unfit(mode), self.xdp.take()) {
            (Some(reason), Some(hook)) => {
                if let (Some(pinned), Pins::Keep(dir)) = (&mut self.pinned, &self.pins) {
                    pinned.unpin(dir, hook.pin_name())?;
                }
                hook.detach()?;
                self.without_xdp(reason);
            }
            (Some(reason), None) if matches!(self.note, Some(Note::Unfit(_))) => {
                self.note = Some(Note::Unfit(reason));
            }
            (None, None) if matches!(self.note, Some(Note::Unfit(_))) => {
                self.note = None;
                self.attach_xdp()?;
                if let (Some(hook), Some(pinned), Pins::Keep(dir)) =
                    (&mut self.xdp, &mut self.pinned, &self.pins)
                {
                    pinned.add(hook.pin(dir)?);
                }
                let attached = self.xdp.is_some();
                info!(parent = self.name, attached, "XDP can be used again");
            }
            (_, hook) => self.xdp = hook,
        }
        Ok(())
    }

    /// Adopts the qdisc of the filters of a previous agent, if it was added for us.
    fn adopt_qdisc(&mut self) {
        if self.qdisc.is_some() || !self.previous.had_filters() {
            return;
        }
        // Without pins there is no mark: it was most likely the agent that added it.
        let ours = self
            .pins
            .dir()
            .is_none_or(|dir| dir.has_clsact_mark() || !matches!(dir.maps(), Ok(Some(_))));
        if ours {
            self.qdisc = Some(Qdisc::adopt(&self.name, self.ifindex));
        }
    }

    /// Pins everything, or nothing.
    fn pin(&mut self) -> Result<(), AttachError> {
        if !self.uses_clsact()
            && let Some(qdisc) = self.qdisc.take()
        {
            qdisc.remove_if_unused()?;
            if let Pins::Keep(dir) = &self.pins {
                dir.unmark_clsact()?;
            }
        }
        match &self.pins {
            Pins::Keep(dir) => {
                if !self.adopts {
                    dir.commit()?;
                }
                if self.uses_clsact() && self.qdisc.as_ref().is_some_and(Qdisc::is_ours) {
                    dir.mark_clsact()?;
                }
                let mut links = Vec::new();
                for hook in [&mut self.ingress, &mut self.egress].into_iter().flatten() {
                    links.extend(hook.pin(dir)?);
                }
                if let Some(hook) = &mut self.xdp {
                    links.extend(hook.pin(dir)?);
                }
                self.pinned = Some(Pinned::new(dir, links)?);
                Ok(())
            }
            Pins::Release(_) => {
                let Pins::Release(dir) = std::mem::replace(&mut self.pins, Pins::None) else {
                    return Ok(());
                };
                dir.remove()?;
                Ok(())
            }
            Pins::None => Ok(()),
        }
    }

    fn uses_clsact(&self) -> bool {
        let mut hooks = [&self.ingress, &self.egress].into_iter().flatten();
        hooks.any(|hook| hook.mechanism() == TcMechanism::Clsact)
    }
}

fn is_unknown_attach_type(error: &AttachError) -> bool {
    matches!(error, AttachError::Program { source, action: "attach", .. }
        if program_errno(source) == Some(libc::EINVAL))
}
