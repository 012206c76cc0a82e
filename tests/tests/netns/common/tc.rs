//! What `tc` shows of the host, and a filter that is not the agent's.

use std::process::Command;

use super::{PARENT, Topology};

/// Adds the foreign filter of these tests, which passes every ARP frame.
pub(crate) const FOREIGN_FILTER: &str =
    "filter add dev ens34 ingress protocol arp prio 7 u32 match u32 0 0 classid 1:7";

/// `tc WORDS` on the host.
#[track_caller]
pub(crate) fn tc(net: &Topology, words: &str) -> String {
    let mut command = Command::new("tc");
    command.args(words.split(' '));
    net.host.command(&mut command, "").unwrap()
}

/// Filters of the parent, on ingress and on egress.
pub(crate) fn filters(net: &Topology) -> String {
    let shown =
        ["ingress", "egress"].map(|hook| tc(net, &format!("filter show dev {PARENT} {hook}")));
    shown.concat()
}

/// Whether the parent has a clsact qdisc.
pub(crate) fn has_clsact(net: &Topology) -> bool {
    tc(net, &format!("qdisc show dev {PARENT}")).contains("clsact")
}
