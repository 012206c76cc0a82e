//! The description of a node: what it is made of, in words, and how to make it simpler.

use std::fmt;

use crate::demo::mode::Mode;

/// What the parent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parent {
    Nic,
    Vlan,
    Bridge,
    ActiveBackup,
    /// A bond that spreads what it sends and receives over its ports (balance-alb).
    Alb,
}

/// A second NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Second {
    None,
    /// On the LAN of the parent, with an address of its own.
    SameLan,
    /// On the LAN of the parent. It has the host's addresses, and the parent has none.
    HasHost,
    /// On another LAN, with an address there.
    OtherLan,
}

/// Policy routing of what the host sends from its main address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    None,
    /// A table with the subnet and a default route.
    Subnet,
    /// A table with a default route alone.
    Gateway,
}

/// Rules of the host's netfilter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    None,
    /// Masquerades what leaves by the parent.
    Masquerade,
    /// Drops what is forwarded.
    Forward,
    /// Drops what comes in but ICMP, and replies.
    Input,
}

/// A program of someone else on the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    None,
    /// TCX programs on both hooks that pass frames on to the next program.
    Next,
    /// A clsact filter on both hooks that passes frames on to the stack.
    Accept,
    /// A generic XDP program that passes everything.
    Xdp,
}

/// When something is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Before,
    After,
}

/// A node with two children.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a part that a node has or has not, whatever the others are"
)]
pub(super) struct Node {
    pub(super) mode: Mode,
    pub(super) flag: &'static str,
    pub(super) parent: Parent,
    pub(super) second: Second,
    /// A second address in the subnet of the LAN, on the parent.
    pub(super) secondary: bool,
    /// A /32 and a /128 on the parent.
    pub(super) single: bool,
    /// A /32 and a /128 on a dummy device.
    pub(super) vip: bool,
    pub(super) policy: Policy,
    pub(super) rp_filter: u8,
    pub(super) arp_ignore: u8,
    pub(super) arp_announce: u8,
    /// Forwarding and proxy ARP.
    pub(super) proxy_arp: bool,
    pub(super) filter: Filter,
    pub(super) foreign: Foreign,
    /// When the foreign programs come, compared with the agent.
    pub(super) foreign_comes: When,
    /// When the children come, compared with the agent.
    pub(super) children_come: When,
}

/// The simplest node.
pub(super) const PLAIN: Node = Node {
    mode: Mode::L2,
    flag: "bridge",
    parent: Parent::Nic,
    second: Second::None,
    secondary: false,
    single: false,
    vip: false,
    policy: Policy::None,
    rp_filter: 0,
    arp_ignore: 0,
    arp_announce: 0,
    proxy_arp: false,
    filter: Filter::None,
    foreign: Foreign::None,
    foreign_comes: When::Before,
    children_come: When::Before,
};

impl Node {
    /// Returns the nodes that differ from this one by one simplification.
    pub(super) fn simpler(&self) -> Vec<Self> {
        /// Sets one field to that of the plain node.
        type Simplify = fn(&mut Node);
        const STEPS: [Simplify; 16] = [
            |node| node.foreign = PLAIN.foreign,
            |node| node.filter = PLAIN.filter,
            |node| node.policy = PLAIN.policy,
            |node| node.second = PLAIN.second,
            |node| node.parent = PLAIN.parent,
            |node| node.vip = PLAIN.vip,
            |node| node.single = PLAIN.single,
            |node| node.secondary = PLAIN.secondary,
            |node| node.proxy_arp = PLAIN.proxy_arp,
            |node| node.arp_ignore = PLAIN.arp_ignore,
            |node| node.arp_announce = PLAIN.arp_announce,
            |node| node.rp_filter = PLAIN.rp_filter,
            |node| node.children_come = PLAIN.children_come,
            |node| node.foreign_comes = PLAIN.foreign_comes,
            |node| node.flag = PLAIN.flag,
            |node| node.mode = PLAIN.mode,
        ];
        STEPS
            .into_iter()
            .map(|simplify| {
                let mut node = self.clone();
                simplify(&mut node);
                node
            })
            .filter(|node| node != self)
            .collect()
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mode,
            flag,
            parent,
            second,
            policy,
            filter,
            ..
        } = self;
        write!(f, "{mode} {flag}")?;
        let parts = [
            match parent {
                Parent::Nic => "",
                Parent::Vlan => "parent is a VLAN",
                Parent::Bridge => "parent is a bridge",
                Parent::ActiveBackup => "parent is an active-backup bond",
                Parent::Alb => "parent is a balance-alb bond",
            },
            match second {
                Second::None => "",
                Second::SameLan => "second NIC on the LAN",
                Second::HasHost => "second NIC on the LAN has the host's addresses",
                Second::OtherLan => "second NIC on another LAN",
            },
            if self.secondary { "second address" } else { "" },
            if self.single { "/32 on the parent" } else { "" },
            if self.vip { "VIP on a dummy" } else { "" },
            match policy {
                Policy::None => "",
                Policy::Subnet => "source routing",
                Policy::Gateway => "source routing by the gateway alone",
            },
            ["", "rp_filter 1", "rp_filter 2"][usize::from(self.rp_filter.min(2))],
            ["", "arp_ignore 1", "arp_ignore 2"][usize::from(self.arp_ignore.min(2))],
            ["", "arp_announce 1", "arp_announce 2"][usize::from(self.arp_announce.min(2))],
            if self.proxy_arp { "proxy ARP" } else { "" },
            match filter {
                Filter::None => "",
                Filter::Masquerade => "masquerade",
                Filter::Forward => "FORWARD drops",
                Filter::Input => "INPUT drops",
            },
            match self.foreign {
                Foreign::None => "",
                Foreign::Next => "TCX programs",
                Foreign::Accept => "clsact filters that accept",
                Foreign::Xdp => "generic XDP program",
            },
            match (self.foreign, self.foreign_comes) {
                (Foreign::None, _) | (_, When::Before) => "",
                (_, When::After) => "attached after the agent",
            },
            match self.children_come {
                When::Before => "",
                When::After => "children after the agent",
            },
        ];
        parts
            .iter()
            .filter(|part| !part.is_empty())
            .try_for_each(|part| write!(f, ", {part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_makes_a_node_simpler_and_the_plain_one_is_the_end() {
        let mut node = Node {
            mode: Mode::L3s,
            flag: "vepa",
            parent: Parent::Vlan,
            second: Second::OtherLan,
            secondary: true,
            single: true,
            vip: true,
            policy: Policy::Gateway,
            rp_filter: 2,
            arp_ignore: 1,
            arp_announce: 2,
            proxy_arp: true,
            filter: Filter::Input,
            foreign: Foreign::Xdp,
            foreign_comes: When::After,
            children_come: When::After,
        };
        let mut steps = node.simpler().len();
        assert_eq!(steps, 16);
        while let Some(next) = node.simpler().into_iter().next() {
            assert!(next.simpler().len() < steps, "{next}");
            steps = next.simpler().len();
            node = next;
        }
        assert_eq!(node, PLAIN);
        assert_eq!(node.to_string(), "l2 bridge");
    }
}
