//! Attaching to the hooks of a parent: taken over from an agent before, or anew; then pinned.

use ipvlan_common::Hook;
use tracing::{info, warn};

use super::{
    AttachError, Datapath, Pins, TcAttach,
    clsact::Qdisc,
    datapath::Note,
    error::program_errno,
    pinned::Pinned,
    tc::{Attachment, TcHook, TcMechanism},
    vlan::{HiddenTags, hidden_tags},
    xdp::XdpHook,
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
        // What is still found in the end is taken off; a try after a failed one finds the rest.
        let mut hooks = vec![(Hook::Ingress, ingress)];
        if self.options.host_access {
            hooks.push((Hook::Egress, egress));
        }
        let mut attached = Vec::new();
        for (hook, program) in hooks {
            let hook = self.attach_tc(hook, program, mechanism)?;
            mechanism = Some(hook.mechanism());
            attached.push(hook);
        }
        let mut attached = attached.into_iter();
        self.ingress = attached.next();
        self.egress = attached.next();
        self.attach_xdp()?;
        self.take_over_qdisc();
        for failure in std::mem::take(&mut self.found).detach(self.pins.dir()) {
            warn!(
                parent = self.name,
                "what an agent before left stays: {failure}"
            );
        }
        self.pin()
    }

    fn attach_tc(
        &mut self,
        hook: Hook,
        program: &'static str,
        mechanism: Option<TcMechanism>,
    ) -> Result<TcHook, AttachError> {
        if mechanism != Some(TcMechanism::Clsact) {
            if let Some(link) = self.found.take_link(hook) {
                let attachment = Attachment::Link(link);
                return TcHook::adopt(&mut self.object, hook, program, attachment);
            }
            let tcx = TcMechanism::Tcx;
            match TcHook::attach(&mut self.object, self.ifindex, hook, program, tcx) {
                // A kernel without TCX does not know the attach type.
                Err(error) if is_unknown_attach_type(&error) => {
                    if mechanism == Some(TcMechanism::Tcx) {
                        return Err(AttachError::NoTcx);
                    }
                }
                result => return result,
            }
        }
        if let Some(filter) = self.found.take_filter(hook) {
            let attachment = Attachment::Filter(filter);
            return TcHook::adopt(&mut self.object, hook, program, attachment);
        }
        if self.qdisc.is_none() {
            let qdisc = Qdisc::ensure(&self.name, self.ifindex)?;
            if let (true, Pins::Keep(dir)) = (qdisc.is_ours(), &self.pins) {
                dir.mark_clsact()?;
            }
            self.qdisc = Some(qdisc);
        }
        let clsact = TcMechanism::Clsact;
        TcHook::attach(&mut self.object, self.ifindex, hook, program, clsact)
    }

    fn attach_xdp(&mut self) -> Result<(), AttachError> {
        let Some(mode) = self.options.xdp else {
            return Ok(());
        };
        if let Some(hidden) = hidden_tags(self.ifindex) {
            self.found.detach_xdp(self.pins.dir())?;
            self.without_xdp(&hidden);
            return Ok(());
        }
        let hook = if let Some(link) = self.found.take_xdp(mode) {
            XdpHook::adopt(&mut self.object, mode, link)
        } else {
            // One of another mode is in the way; the TC programs answer meanwhile.
            self.found.detach_xdp(self.pins.dir())?;
            XdpHook::attach(&mut self.object, &self.name, self.ifindex, mode)
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

    fn without_xdp(&mut self, hidden: &HiddenTags) {
        let note = hidden.to_string();
        warn!(parent = self.name, "{note}");
        self.note = Some(Note::HiddenTags(note));
    }

    /// Detaches the XDP program if VLAN tags may be hidden from it by now, and attaches it again if they are not
    /// any more: an offload can be switched at any time.
    ///
    /// # Errors
    ///
    /// What could not be attached or detached. The TC programs answer then.
    pub fn check_xdp(&mut self) -> Result<(), AttachError> {
        if self.options.xdp.is_none() || self.ingress.is_none() {
            return Ok(());
        }
        match (hidden_tags(self.ifindex), self.xdp.take()) {
            (Some(hidden), Some(hook)) => {
                if let (Some(pinned), Pins::Keep(dir)) = (&mut self.pinned, &self.pins) {
                    pinned.unpin(dir, hook.info().mechanism)?;
                }
                hook.detach()?;
                self.without_xdp(&hidden);
            }
            (None, None) if matches!(self.note, Some(Note::HiddenTags(_))) => {
                self.note = None;
                self.attach_xdp()?;
                if let (Some(hook), Some(pinned), Pins::Keep(dir)) =
                    (&mut self.xdp, &mut self.pinned, &self.pins)
                {
                    pinned.add(hook.pin(dir)?);
                }
                let attached = self.xdp.is_some();
                info!(parent = self.name, attached, "VLAN offload is off");
            }
            (_, hook) => self.xdp = hook,
        }
        Ok(())
    }

    /// The qdisc of filters that were found, if it was added for us.
    fn take_over_qdisc(&mut self) {
        if self.qdisc.is_some() || !self.found.had_filters() {
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
