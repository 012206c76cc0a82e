//! Twenty ways in which a child is not reached, with the command that names each: the table of `docs/symptoms.md`. The
//! rows `DOCTOR` and `explain` make each of them and require its answer.

/// A command that names the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `ipvlan doctor`: the answer is the id of a line.
    Doctor,
    /// `ipvlan explain ADDRESS`: the answer is a rule, or what an owner has.
    Explain,
}

impl Tool {
    #[cfg(test)]
    const fn command(self) -> &'static str {
        match self {
            Self::Doctor => "ipvlan doctor",
            Self::Explain => "ipvlan explain ADDRESS",
        }
    }
}

/// A way in which a child is not reached.
#[derive(Debug)]
pub(crate) struct Symptom {
    /// What one sees.
    #[cfg_attr(not(test), allow(dead_code, reason = "only the document has it"))]
    seen: &'static str,
    pub(crate) tool: Tool,
    /// The word by which the command names the cause.
    pub(crate) answer: &'static str,
    /// What it means.
    #[cfg_attr(not(test), allow(dead_code, reason = "only the document has it"))]
    cause: &'static str,
}

const fn doctor(seen: &'static str, answer: &'static str, cause: &'static str) -> Symptom {
    Symptom {
        seen,
        tool: Tool::Doctor,
        answer,
        cause,
    }
}

const fn explain(seen: &'static str, answer: &'static str, cause: &'static str) -> Symptom {
    Symptom {
        seen,
        tool: Tool::Explain,
        answer,
        cause,
    }
}

/// All of them.
pub(crate) const SYMPTOMS: [Symptom; 20] = [
    doctor(
        "Containers on one parent do not reach each other; the LAN reaches them",
        "matrix.child-child",
        "the isolation flag of the port is `private` or `vepa`",
    ),
    explain(
        "`Destination Host Unreachable` for one container, the others answer",
        "child_down",
        "the child is down",
    ),
    doctor(
        "`ipvlan children` shows `no-address`",
        "child.address",
        "the child has no address",
    ),
    explain(
        "The LAN reaches the container, the host does not",
        "off_link",
        "the host has no route to the address on the parent, and `--allow` does not cover it",
    ),
    explain(
        "The container answers now and then, or another machine answers in its place",
        "duplicate",
        "a station on the LAN has the address, too",
    ),
    explain(
        "The host answers in the place of the container",
        "host_address",
        "the host has the address, too; the container's is withheld",
    ),
    explain(
        "One range of addresses is never answered",
        "denied",
        "`--deny` or a rule covers the address",
    ),
    explain(
        "Old containers answer, new ones do not",
        "map_full",
        "the address map is full: `--max-addresses`",
    ),
    doctor(
        "No container answers the LAN",
        "agent.running",
        "no agent is running",
    ),
    doctor(
        "No container answers since another tool was installed",
        "hooks.order",
        "a program of another tool runs first and ends the chain",
    ),
    doctor(
        "`Network is unreachable` inside the container",
        "child.route",
        "the child has no default route",
    ),
    doctor(
        "The container receives requests of the host, and the host drops the replies",
        "sysctl.rp_filter",
        "reverse path filtering, and the host's route to the container leaves by another link",
    ),
    doctor(
        "Replies of the container come from the address of the host",
        "netfilter.masquerade",
        "a rule of the host masquerades them",
    ),
    doctor(
        "The LAN is a VLAN, and nothing arrives",
        "link.vlan",
        "frames come with a VLAN tag: the parent has to be a VLAN device",
    ),
    explain(
        "The containers of one network answer, those of another do not",
        "not_served",
        "the child's parent is another one, which no agent serves",
    ),
    explain(
        "The address answers, but it is not the container that was meant",
        "netns",
        "the child that has the address is in the network namespace that the owner's line names",
    ),
    explain(
        "The container has the address, and nothing answers for it",
        "not_ours",
        "no ipvlan child has it: the link in the container is of another kind (`foreign_dropped` behind an l2 parent)",
    ),
    doctor(
        "Nothing answers after work on cables or on the switch",
        "link.carrier",
        "the parent has no carrier",
    ),
    doctor(
        "Everything stopped some minutes after the agent did",
        "agent.pinned",
        "the pinned programs answer until `--stale-after` has passed",
    ),
    doctor(
        "One machine of the LAN reaches the container and gets no reply, or the host replies by another card",
        "link.second",
        "a second network card of the host is in the same subnet",
    ),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::Path};

    use super::*;

    /// The table of the document is this one. With `UPDATE_DOCS` in the environment, it is written.
    #[test]
    fn document_has_this_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/symptoms.md");
        let mut table = String::from("| Symptom | Command | Answer | Cause |\n|---|---|---|---|\n");
        for Symptom {
            seen,
            tool,
            answer,
            cause,
        } in &SYMPTOMS
        {
            let command = tool.command();
            writeln!(table, "| {seen} | `{command}` | `{answer}` | {cause} |").unwrap();
        }
        let document = fs::read_to_string(&path).unwrap();
        let start = document.find("| Symptom |").unwrap();
        let end = start + document[start..].find("\n\n").unwrap() + 1;
        let updated = document[..start].to_owned() + &table + &document[end..];
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, updated).unwrap();
        } else {
            assert!(document == updated, "run this test with UPDATE_DOCS=1");
        }
        let answers: BTreeSet<_> = SYMPTOMS.iter().map(|of| of.answer).collect();
        assert_eq!(answers.len(), SYMPTOMS.len());
    }
}
