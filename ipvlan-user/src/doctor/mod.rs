//! What is wrong with this node, as far as a command can see: reading comes first, judging is pure.
//!
//! Nothing is changed. A check that lacks a privilege is skipped with the reason.

mod children;
mod hooks;
mod kernel;
mod link;
mod matrix;
mod netfilter;
mod node;
mod ping;
pub mod report;
mod ruleset;
#[cfg(test)]
mod samples;
mod sysctl;

use std::path::Path;

use self::{
    node::Node,
    report::{Check, Report},
};
pub use crate::discover::DiscoverError;
use crate::{
    protocol::{Agent, Unserved},
    text::printable,
};

/// What is asked.
#[derive(Debug)]
pub struct Question<'a> {
    /// The parents to examine; none for those that an agent serves and those that have children.
    pub interfaces: &'a [String],
    /// The agents that answered.
    pub agents: Vec<Agent>,
    /// Why others did not.
    pub unanswered: &'a [String],
    /// Parents with a pinned datapath and without an agent.
    pub unserved: &'a [Unserved],
    /// Where agents pin.
    pub pin_dir: &'a Path,
}

/// Examines the netns of this thread, its parents and their children.
///
/// # Errors
///
/// If the links of this netns cannot be read.
pub fn examine(question: Question<'_>) -> Result<Report, DiscoverError> {
    let Question {
        interfaces,
        agents,
        unanswered,
        unserved,
        pin_dir,
    } = question;
    let node = Node::read(interfaces, agents)?;
    let mut checks = kernel::judge(&kernel::read(&node, pin_dir));
    checks.extend(hooks::judge_agents(&node, unanswered, unserved));
    checks.extend(scope(&node));
    checks.extend(link::judge_host(&node));
    for parent in &node.parents {
        checks.extend(link::judge(&node, parent));
        checks.extend(hooks::judge(parent, &hooks::read(parent)));
        checks.extend(sysctl::judge(&node, parent, &sysctl::read(parent)));
        checks.extend(children::judge(&node, parent));
    }
    if !node.parents.is_empty() {
        checks.extend(netfilter::judge(&node.parents, &netfilter::read()));
        checks.extend(matrix::judge(&node, &matrix::read(&node)));
    }
    Ok(Report::of(checks))
}

/// Returns lines about what could not be looked at.
fn scope(node: &Node) -> Vec<Check> {
    let mut checks = Vec::new();
    if node.parents.is_empty() && node.missing.is_empty() {
        let found = "no interface here has ipvlan children that can be seen; --iface names one";
        checks.push(Check::skip("node.parents", "", found));
    }
    if node.others.hidden > 0 {
        checks.push(Check::skip(
            "node.netns",
            "",
            "some network namespaces could not be entered: children there are seen by the agent only",
        ));
    }
    for agent in &node.agents {
        if agent.netns != node.own.inode {
            let found = format!(
                "serves another network namespace: run `nsenter --net=/proc/{}/ns/net ipvlan doctor`",
                agent.pid
            );
            let subject = printable(&format!("agent {}", agent.pid)).to_string();
            checks.push(Check::skip("node.agent", &subject, found));
        }
    }
    checks
}
