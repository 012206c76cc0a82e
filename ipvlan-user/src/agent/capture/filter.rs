//! Which frames a client wants.

use std::net::IpAddr;

use crate::{decode, protocol::Netns, text::netns_label};

/// Which frames a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// All.
    All,
    /// Those from, to or about an address.
    Address(IpAddr),
    /// Those that concern a child of this name.
    Child(String),
}

impl Filter {
    /// Returns whether a frame is wanted, which concerns this child.
    pub(super) fn matches(&self, frame: &[u8], label: Option<&Label>) -> bool {
        match self {
            Self::All => true,
            Self::Address(address) => decode::concerns(frame, *address),
            Self::Child(name) => label.is_some_and(|label| label.is_called(name)),
        }
    }
}

/// The names of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// Its interface.
    pub(super) child: String,
    pub(super) ifindex: u32,
    pub(super) netns: Netns,
}

impl Label {
    /// Returns whether this is the name of the interface, of the netns, or of both with a slash between them.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let Netns {
            names, pid, nsid, ..
        } = &self.netns;
        let netns = netns_label(names, *pid, *nsid);
        let is_netns = |name: &str| netns == name || names.iter().any(|of| of == name);
        let both = name
            .rsplit_once('/')
            .is_some_and(|(netns, child)| is_netns(netns) && child == self.child);
        name == self.child || is_netns(name) || both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_by_its_interface_its_netns_and_both() {
        let label = Label {
            child: "ipvl0".to_owned(),
            ifindex: 7,
            netns: Netns {
                nsid: Some(3),
                names: vec!["/run/netns/blue".to_owned()],
                ..Netns::default()
            },
        };
        for (name, expected) in [
            ("ipvl0", true),
            ("blue", true),
            ("/run/netns/blue", true),
            ("blue/ipvl0", true),
            ("/run/netns/blue/ipvl0", true),
            ("blue/ipvl1", false),
            ("red/ipvl0", false),
            ("ipvl", false),
        ] {
            assert_eq!(label.is_called(name), expected, "{name}");
            let filter = Filter::Child(name.to_owned());
            assert_eq!(filter.matches(&[], Some(&label)), expected, "{name}");
            assert!(!filter.matches(&[], None));
        }
        assert!(Filter::All.matches(&[], None));
        assert!(!Filter::Address(IpAddr::from([10, 0, 0, 1])).matches(&[], None));
    }
}
