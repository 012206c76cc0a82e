//! Explains an address: its owners, its entry, every rule that applies to it, and what the attached programs do with
//! frames for it.
//!
//! Reads what the agent knows, the entry of the address as it was written, and the counters of the hooks. Nothing is read
//! from the kernel's tables, and nothing is changed but the counters of the frames that the programs are run on.

mod frames;
mod owners;
mod rules;

use std::net::IpAddr;

use ipvlan_common::{AddressEntry, Delivery, Owner, Reason, ReasonClass};

use self::frames::{Origin, Test};
use super::{
    kernel::Kernel,
    parent::{Parent, State},
    parents::Parents,
    serving::Serving,
};
use crate::{
    facts::{Dad, Kind, Mode, Snapshot},
    model::{ClaimedAddress, DesiredEntry, Policy, Prefix, Refusal, note_of_mode},
    protocol::{
        self, AddressOwner, AnsweredBy, AppliedRule, Explanation, MapEntry, OwnerKind, Question,
        Verdict,
    },
    text::chain,
};

/// Answers a question; none if the parent that it names is not configured.
pub(super) fn explain(
    question: &Question,
    parents: &Parents,
    kernel: &Kernel,
    policy: &Policy,
) -> Option<Explanation> {
    let snapshot = kernel.snapshot();
    let address = question.address;
    let parent = match &question.parent {
        Some(name) => parents.iter().find(|parent| parent.is_called(name))?,
        None => parent_of(address, parents, snapshot)?,
    };
    let mut explanation = Explanation {
        address: address.to_string(),
        parent: parent.name().to_owned(),
        answered: AnsweredBy::None.into(),
        owners: owners::of_address(address, parents, snapshot, policy),
        entry: None,
        rules: Vec::new(),
        frames: Vec::new(),
        notes: Vec::new(),
    };
    match parent.state() {
        State::Serving(serving) => {
            let serving = Explaining {
                address,
                serving,
                parents,
                kernel,
                policy,
            };
            serving.complete(&mut explanation, question);
        }
        State::Waiting(waiting) => explanation
            .rules
            .push(rules::waiting(parent.name(), &waiting.reason)),
        State::New => explanation
            .rules
            .push(rules::waiting(parent.name(), "it is not attached yet")),
    }
    Some(explanation)
}

/// Returns the parent that an address belongs to: that of a child which has it, else one that the host is on-link with
/// it through, else the first.
fn parent_of<'a>(address: IpAddr, parents: &'a Parents, snapshot: &Snapshot) -> Option<&'a Parent> {
    let has_child = |parent: &&Parent| {
        let serving = parent.serving();
        let owner = serving.and_then(|serving| serving.desired.addresses.get(&address));
        owner.is_some_and(|owner| matches!(owner, DesiredEntry::Child { .. }))
    };
    let is_on_link = |parent: &&Parent| {
        parent.serving().is_some_and(|serving| {
            let mut routes = snapshot.host.routes_on_link.iter();
            routes.any(|route| {
                route.oif == serving.link.ifindex
                    && Prefix::of(route.prefix, route.prefix_len).contains(address)
            })
        })
    };
    let is_attached = |parent: &&Parent| parent.serving().is_some();
    parents
        .iter()
        .find(has_child)
        .or_else(|| parents.iter().find(is_on_link))
        .or_else(|| parents.iter().find(is_attached))
        .or_else(|| parents.iter().next())
}

/// An address and the attached parent that it is explained for.
struct Explaining<'a> {
    address: IpAddr,
    serving: &'a Serving,
    parents: &'a Parents,
    kernel: &'a Kernel,
    policy: &'a Policy,
}

impl Explaining<'_> {
    /// Adds everything that depends on the parent.
    fn complete(&self, explanation: &mut Explanation, question: &Question) {
        let claims = self
            .serving
            .claims(self.kernel.snapshot(), self.policy, self.address);
        let entry = self.serving.installed.addresses().get(&self.address);
        explanation.entry = entry.map(map_entry);
        let mut decisive = None;
        let origins = Origin::of(
            question.from,
            self.serving,
            self.kernel.snapshot(),
            self.address,
        );
        for (index, origin) in origins.iter().enumerate() {
            match frames::run(self.serving, origin, self.address, entry) {
                Ok(tests) => {
                    let request = tests.iter().rfind(|test| test.is_request());
                    if index == 0 {
                        decisive = request.map(|test| (origin, test.verdict, test.reason));
                    }
                    explanation
                        .frames
                        .extend(tests.into_iter().map(Test::into_frame));
                }
                Err(failure) => explanation
                    .notes
                    .push(format!("a program could not be run: {}", chain(&failure))),
            }
        }
        explanation.answered = match decisive {
            Some((origin, verdict, reason)) => {
                self.answered(&claims, entry, origin, verdict, reason)
            }
            None => AnsweredBy::None,
        }
        .into();
        let reason = decisive.and_then(|(.., reason)| reason);
        explanation.rules = rules::of_address(self, &claims, reason);
        self.add_notes(explanation, &claims, decisive.is_none());
    }

    /// Returns who answers a request with this verdict and reason.
    fn answered(
        &self,
        claims: &[ClaimedAddress<'_>],
        entry: Option<&AddressEntry>,
        origin: &Origin,
        verdict: Verdict,
        reason: Option<Reason>,
    ) -> AnsweredBy {
        if verdict == Verdict::Answered {
            return AnsweredBy::Programs;
        }
        let is_delegated = reason.is_some_and(|of| of.class() == ReasonClass::Delegated);
        // Where a child has an address of the host, the driver of an l3 port keeps the request from the host's stack.
        let is_of_host = entry
            .is_some_and(|entry| entry.owner() == Some(Owner::Host) && entry.refusal().is_none())
            && !claims.iter().any(is_diverted);
        // The kernel of an l2 child answers requests that the programs pass on.
        let by_child =
            *origin == Origin::Lan && claims.iter().any(|claim| self.answers_itself(claim));
        if verdict == Verdict::Passed && (is_delegated || is_of_host || by_child) {
            AnsweredBy::Kernel
        } else {
            AnsweredBy::None
        }
    }

    /// Returns whether the child's own kernel answers a request that reaches it.
    fn answers_itself(&self, claim: &ClaimedAddress<'_>) -> bool {
        let Kind::Ipvlan(port) = claim.child.kind;
        let snapshot = self.kernel.snapshot();
        let mut children = snapshot.children_of(claim.child.key.netns).iter();
        let child = children.find(|child| child.ifindex == claim.child.key.ifindex);
        let known = child.and_then(|child| {
            let mut addresses = child.addresses.iter();
            let known = addresses.find(|it| it.local == self.address)?;
            Some(
                !child.arp.is_silent(known)
                    && known.registered() == known.local
                    && matches!(known.dad(), Dad::Done | Dad::Optimistic),
            )
        });
        // For others no kernel answers.
        let is_unicast = !claim.refusals.iter().any(|refusal| {
            matches!(
                refusal.reason,
                Reason::TargetBroadcast
                    | Reason::TargetMulticast
                    | Reason::TargetLoopback
                    | Reason::TargetUnspecified
                    | Reason::TargetV4Mapped
            )
        });
        let is_heard = claim.child.up && self.serving.link.up;
        port.mode == Mode::L2 && is_heard && is_unicast && known.unwrap_or_default()
    }

    fn add_notes(
        &self,
        explanation: &mut Explanation,
        claims: &[ClaimedAddress<'_>],
        is_untested: bool,
    ) {
        let is_host = |owner: &AddressOwner| owner.kind == Some(OwnerKind::Host.into());
        let notes = &mut explanation.notes;
        let snapshot = self.kernel.snapshot();
        if is_untested {
            notes.push("no program was run on a request: `answered` is not known".to_owned());
        }
        if !claims.is_empty() {
            let port = self.serving.desired.port;
            notes.extend(port.map(|port| note_of_mode(port.mode).to_owned()));
        }
        let answers_itself = claims.iter().any(|claim| self.answers_itself(claim));
        if answers_itself && explanation.answered == AnsweredBy::Kernel {
            notes.push(
                "mode l2: the child's own kernel answers a request that the programs pass on"
                    .to_owned(),
            );
        }
        if explanation.owners.iter().any(is_host) && claims.iter().any(is_diverted) {
            notes.push(
                "mode l3 or l3s: the driver delivers frames from the LAN for this address of the host to the child"
                    .to_owned(),
            );
        }
        let vlans = snapshot.links.iter().filter(|link| {
            link.kind.as_deref() == Some("vlan")
                && link
                    .lower
                    .is_some_and(|lower| lower.ifindex == self.serving.link.ifindex)
        });
        for vlan in vlans {
            let mut addresses = snapshot.host.addresses.iter();
            let is_covered = addresses.any(|it| {
                it.ifindex == vlan.ifindex
                    && Prefix::of(it.address, it.prefix_len).contains(self.address)
            });
            if is_covered {
                notes.push(format!(
                    "the address is in a prefix of the VLAN device `{}`: its frames have a tag, and the programs of \
                     `{}` pass tagged frames on (tagged); `ipvlan run --iface {}` serves children on that VLAN",
                    vlan.name,
                    self.serving.link.name,
                    vlan.name
                ));
            }
        }
    }
}

/// Returns whether the driver delivers requests from the LAN for the address to the child, which answers none: in mode l3
/// and l3s (`ipvlan_handle_mode_l3`).
fn is_diverted(claim: &ClaimedAddress<'_>) -> bool {
    let Kind::Ipvlan(port) = claim.child.kind;
    let is_peer = |refusal: &Refusal| refusal.reason == Reason::PeerAddress;
    port.mode != Mode::L2 && claim.child.up && !claim.refusals.iter().any(is_peer)
}

fn map_entry(entry: &AddressEntry) -> MapEntry {
    MapEntry {
        owner: match entry.owner() {
            Some(Owner::Child) => "child",
            Some(Owner::Host) => "host",
            Some(Owner::Gateway) => "gateway",
            None => "none",
        }
        .to_owned(),
        refusal: entry.refusal().map(|reason| reason.word().to_owned()),
        delivery: match entry.delivery() {
            Delivery::Pass => protocol::Delivery::Pass,
            Delivery::Redirect(_) => protocol::Delivery::Redirect,
        }
        .into(),
        off_link: entry.owner() == Some(Owner::Child) && entry.is_off_link(),
        routed: entry.routed(),
        probed: entry.probed(),
        by_kernel: entry.by_kernel(),
    }
}

/// Returns whether a rule with this reason is in a list.
fn has(rules: &[AppliedRule], reason: &str) -> bool {
    rules.iter().any(|rule| rule.reason == reason)
}

/// Returns the word of a reason that decides.
fn word(reason: Reason) -> String {
    reason.word().to_owned()
}
