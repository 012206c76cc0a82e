//! What a person expects of a node that the agent serves, and what cannot work whatever the agent does.

use super::{
    node::{Filter, Foreign, Node, Policy, Second},
    traffic::{Actor, Cell, Place, Probe},
};
use crate::{demo::mode::Mode, faults::is_at_least};

/// Cells that cannot work, and why. `docs/limits.md` has each with the way out.
#[derive(Debug)]
pub(super) struct Limit {
    /// The reason.
    pub(super) reason: &'static str,
    covers: fn(&Node, Cell) -> bool,
}

/// The table of the exceptions from "children reach everybody, and everybody reaches children".
pub(super) const LIMITS: &[Limit] = &[
    Limit {
        reason: "private and vepa keep siblings apart; with vepa, the switch would have to reflect",
        covers: |node, cell| node.flag != "bridge" && cell.from.is_child() && cell.to.is_child(),
    },
    Limit {
        reason: "masquerade of what l3 children send: netfilter did not see the request",
        covers: |node, cell| {
            node.filter == Filter::Masquerade
                && node.mode != Mode::L2
                && !(cell.from.is_child() && cell.to.is_child())
        },
    },
    Limit {
        reason: "in l3s packets to a child pass the host's INPUT",
        covers: |node, cell| {
            node.filter == Filter::Input
                && node.mode == Mode::L3s
                && cell.to.is_child()
                && cell.probe != Probe::Ping
        },
    },
    Limit {
        reason: "the host's INPUT drops it",
        covers: |node, cell| {
            node.filter == Filter::Input && cell.to == Actor::Host && cell.probe != Probe::Ping
        },
    },
    Limit {
        reason: "source routing sends what the host sends from its main address to the gateway",
        covers: |node, cell| {
            node.policy == Policy::Gateway && (cell.from == Actor::Host || cell.to == Actor::Host)
        },
    },
    Limit {
        reason: "no filter runs before one of pref 1 and of another kind, and this kernel has no TCX",
        covers: |node, _| node.foreign == Foreign::Accept && !is_at_least(6, 6).unwrap_or_default(),
    },
    Limit {
        reason: "arp_ignore 2: the host does not answer a sender outside of the subnet of a /32",
        covers: |node, cell| {
            node.arp_ignore == 2 && cell.to == Actor::Host && cell.place == Place::Single
        },
    },
];

/// What a cell has to be with the agent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    /// It works, whatever the kernel alone does.
    Works,
    /// As with the kernel alone, at least.
    AsAlone,
    /// As with the kernel alone, and more is not possible.
    Limited(&'static Limit),
}

/// Returns what `cell` has to be on `node`: everything that a child takes part in works, at the addresses that the
/// host has on the parent's LAN.
pub(super) fn expected(node: &Node, cell: Cell) -> Expected {
    if let Some(limit) = LIMITS.iter().find(|limit| (limit.covers)(node, cell)) {
        return Expected::Limited(limit);
    }
    let with_child = cell.from.is_child() || cell.to.is_child();
    let of_parent = match cell.place {
        Place::Main | Place::Secondary | Place::Single => true,
        Place::SecondNic | Place::Vip => false,
    };
    // On a parent without an address the host has its other addresses on another device.
    let usual = node.second != Second::HasHost || cell.place == Place::Main;
    if with_child && of_parent && usual {
        Expected::Works
    } else {
        Expected::AsAlone
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{generate, node::PLAIN, traffic},
        *,
    };

    #[test]
    fn a_plain_node_has_no_limits() {
        for cell in traffic::cells(&PLAIN) {
            let expected = expected(&PLAIN, cell);
            let with_child = cell.from.is_child() || cell.to.is_child();
            assert_eq!(matches!(expected, Expected::Works), with_child, "{cell}");
            assert!(!matches!(expected, Expected::Limited(_)), "{cell}");
        }
    }

    #[test]
    fn every_limit_is_about_some_node() {
        let nodes: Vec<_> = (0..300).map(|number| generate::node(3, number)).collect();
        for limit in LIMITS {
            let covered = nodes.iter().any(|node| {
                traffic::cells(node)
                    .into_iter()
                    .any(|cell| (limit.covers)(node, cell))
            });
            // One is about older kernels than this one may be.
            let is_of_older = limit.reason.contains("this kernel has no TCX");
            assert!(covered || is_of_older, "{}", limit.reason);
        }
    }
}
