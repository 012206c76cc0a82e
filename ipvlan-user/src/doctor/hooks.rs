//! The agents, the programs of each parent, and foreign programs that run before them.

use ipvlan_common::Hook as At;

use super::{
    node::{Node, Parent},
    report::{Check, word},
};
use crate::{
    attach::survey::{Foreign, Survey, survey},
    facts::XdpMode,
    protocol::{ExceededQuota, Hook, Mechanism, ParentState, Program, QuotaKind, Unserved, Word},
    text::netns_label,
};

/// A hook of a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    hook: Hook,
    program: Program,
    /// The kernel's own list, or why it could not be read.
    survey: Result<Survey, String>,
}

/// Reads the programs at the hooks of a parent.
pub(super) fn read(parent: &Parent) -> Vec<Seen> {
    let hooks = parent.served.iter().flat_map(|(_, served)| &served.hooks);
    hooks
        .filter_map(|program| {
            let (Word::Known(hook), Word::Known(mechanism)) = (&program.hook, &program.attach)
            else {
                return None;
            };
            Some(Seen {
                hook: *hook,
                program: program.clone(),
                survey: look(parent, *hook, *mechanism, program.program_id),
            })
        })
        .collect()
}

fn look(parent: &Parent, hook: Hook, mechanism: Mechanism, program: u32) -> Result<Survey, String> {
    let at = match hook {
        Hook::Egress => At::Egress,
        Hook::Ingress => At::Ingress,
        Hook::Xdp => {
            let mut attached = parent.link.xdp.iter();
            return Ok(Survey {
                attached: attached.any(|xdp| xdp.program == program),
                before: Vec::new(),
            });
        }
    };
    survey(parent.link.ifindex, at, mechanism, program).map_err(|error| {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => "CAP_NET_ADMIN is missing: run as root".to_owned(),
            _ => error.to_string(),
        }
    })
}

/// Judges the agents.
pub(super) fn judge_agents(
    node: &Node,
    unanswered: &[String],
    unserved: &[Unserved],
) -> Vec<Check> {
    let mut checks: Vec<Check> = unanswered
        .iter()
        .map(|failure| Check::skip("agent.running", "", failure))
        .collect();
    if node.agents.is_empty() && unanswered.is_empty() {
        checks.push(
            Check::warn(
                "agent.running",
                "",
                "no agent is running",
                "children that come, move or go are not followed, and without pinned programs none is answered",
            )
            .mend("systemctl start ipvlan"),
        );
    }
    checks.extend(unserved.iter().map(pinned));
    for agent in &node.agents {
        let subject = format!("agent {}", agent.pid);
        let parents: Vec<&str> = agent.parents.iter().map(|it| it.name.as_str()).collect();
        let found = format!("version {}, serves {}", agent.version, parents.join(", "));
        checks.push(Check::ok("agent.running", &subject, found));
        if let Some(error) = &agent.sync.error {
            checks.push(Check::fail(
                "agent.sync",
                &subject,
                format!("the last sync failed: {error}"),
                "changes of children have no effect, and after --stale-after nothing is answered",
            ));
        }
        for failure in &agent.unreadable {
            checks.push(Check::warn(
                "agent.netns",
                &subject,
                failure,
                "changes of the children of that network namespace have no effect",
            ));
        }
        let quotas = agent.quotas.iter();
        checks.extend(quotas.map(|exceeded| quota(&subject, exceeded)));
    }
    checks
}

fn quota(subject: &str, exceeded: &ExceededQuota) -> Check {
    let ExceededQuota {
        netns: of,
        quota,
        limit,
        exceeded,
        option,
    } = exceeded;
    let netns = netns_label(&of.names, of.pid, of.nsid);
    let found = format!("netns {netns} exceeded its quota of {quota} ({limit}): {exceeded}");
    if !matches!(quota, Word::Known(QuotaKind::Addresses | QuotaKind::Groups)) {
        // It was delayed at some time since the netns appeared.
        return Check::ok("agent.quota", subject, found);
    }
    Check::warn(
        "agent.quota",
        subject,
        found,
        "addresses beyond the quota are not answered, and solicitations for them may not be received",
    )
    .mend(format!("ipvlan run {option} NUMBER"))
}

fn pinned(unserved: &Unserved) -> Check {
    let (name, pinned) = (&unserved.name, &unserved.pinned);
    Check::warn(
        "agent.pinned",
        name,
        format!("no agent; what is pinned in {pinned} answers until it is stale"),
        "children that come, move or go are not followed, and after --stale-after none is answered",
    )
    .mend(format!("ipvlan run --iface {}", word(name)))
}

/// Judges the programs of a parent.
pub(super) fn judge(parent: &Parent, hooks: &[Seen]) -> Vec<Check> {
    let name = parent.name();
    let Some((_, served)) = &parent.served else {
        return vec![unserved(parent)];
    };
    let mut checks = vec![state(name, &served.state, served.reason.as_deref())];
    for seen in hooks {
        checks.extend(hook(name, seen));
    }
    let has_egress = hooks.iter().any(|seen| seen.hook == Hook::Egress);
    if served.state == ParentState::Ready && !has_egress {
        checks.push(
            Check::warn(
                "hooks.attached",
                name,
                "no program at egress",
                "the host and its children do not reach each other",
            )
            .mend(format!("ipvlan run --iface {} --host-access", word(name))),
        );
    }
    checks.extend(xdp(parent, hooks));
    checks.extend(notes(name, &served.notes));
    checks
}

fn unserved(parent: &Parent) -> Check {
    let name = parent.name();
    Check::warn(
        "agent.parent",
        name,
        "no agent serves it",
        "in l3 and l3s no child is answered on the LAN, and in no mode do the host and its children reach each other",
    )
    .mend(format!("ipvlan run --iface {}", word(name)))
}

fn state(name: &str, state: &Word<ParentState>, reason: Option<&str>) -> Check {
    let reason = reason.unwrap_or("no reason was reported");
    match state {
        Word::Known(ParentState::Ready) => Check::ok("agent.parent", name, "ready"),
        Word::Known(ParentState::Waiting) => Check::fail(
            "agent.parent",
            name,
            format!("waiting: {reason}"),
            "the agent is not attached: no child is answered, and none is reached from the host",
        ),
        Word::Known(ParentState::Degraded) | Word::Other(_) => Check::warn(
            "agent.parent",
            name,
            format!("degraded: {reason}"),
            "some children may not be answered, or not be reached from the host",
        ),
    }
}

fn hook(name: &str, seen: &Seen) -> Vec<Check> {
    let (hook, program) = (word_of(seen.hook), &seen.program);
    let subject = format!("{name} {hook}");
    let survey = match &seen.survey {
        Err(reason) => return vec![Check::skip("hooks.attached", &subject, reason)],
        Ok(survey) => survey,
    };
    if !survey.attached {
        return vec![
            Check::fail(
                "hooks.attached",
                &subject,
                format!("{} (program {}) is not attached", program.program, program.program_id),
                "another process detached it: children are not answered, or not reached from the host",
            )
            .mend("systemctl restart ipvlan"),
        ];
    }
    let mut checks = vec![Check::ok(
        "hooks.attached",
        &subject,
        format!(
            "{} by {} (program {})",
            program.program, program.attach, program.program_id
        ),
    )];
    if seen.hook != Hook::Xdp {
        checks.push(order(&subject, name, hook, &survey.before));
    }
    checks
}

fn order(subject: &str, name: &str, hook: &str, before: &[Foreign]) -> Check {
    let id = "hooks.order";
    let names: Vec<&str> = before.iter().map(|other| other.name.as_str()).collect();
    let names = names.join(", ");
    if before.is_empty() {
        return Check::ok(id, subject, "no foreign program runs before ours");
    }
    let mend = format!(
        "bpftool net show dev {0}; tc filter show dev {0} {hook}",
        word(name)
    );
    if before.iter().any(|other| other.ends_the_chain) {
        return Check::fail(
            id,
            subject,
            format!("{names} runs before ours and passes no frame on"),
            "our program receives no frame: children are not answered, or not reached from the host",
        )
        .mend(mend);
    }
    Check::warn(
        id,
        subject,
        format!("{names} runs before ours"),
        "frames that it does not pass on do not reach our program",
    )
    .mend(mend)
}

const fn word_of(hook: Hook) -> &'static str {
    match hook {
        Hook::Egress => "egress",
        Hook::Ingress => "ingress",
        Hook::Xdp => "xdp",
    }
}

/// Returns the line about XDP, if the agent was to use it or a foreign program is attached.
fn xdp(parent: &Parent, hooks: &[Seen]) -> Option<Check> {
    let name = parent.name();
    let link = &parent.link;
    let ours = hooks.iter().find(|seen| seen.hook == Hook::Xdp);
    if let Some(ours) = ours {
        let found = format!("{} with an MTU of {}", ours.program.attach, link.mtu);
        return Some(Check::ok("xdp.mode", name, found));
    }
    let foreign = link.xdp.first()?;
    let mode = match foreign.mode {
        XdpMode::Generic => "generic",
        XdpMode::Native => "native",
        XdpMode::Offload => "offloaded",
    };
    Some(
        Check::warn(
            "xdp.foreign",
            name,
            format!("foreign {mode} XDP program {}", foreign.program),
            "frames that it drops, redirects or answers do not reach our programs",
        )
        .mend(format!("bpftool prog show id {}", foreign.program)),
    )
}

/// What a mode does not do, what the operator chose, and what passes.
const KNOWN: [&str; 6] = [
    "l2: ",
    "l3: ",
    "l3s: ",
    "--no-host-access",
    "--order after",
    "new addresses that are not answered on the LAN before",
];

/// Returns a line for each note of the agent.
fn notes(name: &str, notes: &[String]) -> Vec<Check> {
    let note = |note: &String| {
        if KNOWN.iter().any(|known| note.starts_with(known)) {
            return Check::ok("agent.note", name, note);
        }
        Check::warn(
            "agent.note",
            name,
            note,
            "docs/limits.md has the effect and a workaround",
        )
    };
    notes.iter().map(note).collect()
}

#[cfg(test)]
mod tests;
