//! Which links can be a parent.

use crate::facts::{Link, NetnsId};

/// Hardware type of Ethernet (`ARPHRD_ETHER`).
const ETHERNET: u16 = 1;

/// Why a link cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParentError {
    /// There is none of this name.
    #[error("there is no interface `{name}` in this network namespace")]
    Missing {
        /// The name asked for.
        name: String,
        /// Names of the links there are.
        known: Vec<String>,
    },
    /// It is a child itself.
    #[error("`{name}` is itself an {kind} child{}", of(parent.as_ref()))]
    IsChild {
        /// Its name.
        name: String,
        /// Its kind: `ipvlan` or `ipvtap`.
        kind: String,
        /// Its parent, if that is in this netns.
        parent: Option<String>,
    },
    /// A bridge (or another master) owns its receive path.
    #[error("`{name}` is a port of {kind}{}", named(master.as_ref()))]
    IsPort {
        /// Its name.
        name: String,
        /// Kind of the master: `bridge`, `bond`, ….
        kind: String,
        /// The master's name.
        master: Option<String>,
    },
    /// It has no Ethernet header.
    #[error("`{name}` is not an Ethernet interface (hardware type {hardware})")]
    NotEthernet {
        /// Its name.
        name: String,
        /// Its `ARPHRD_*` type.
        hardware: u16,
    },
}

fn of(parent: Option<&String>) -> String {
    parent.map_or_else(String::new, |parent| format!(" of `{parent}`"))
}

fn named(master: Option<&String>) -> String {
    master.map_or_else(String::new, |master| format!(" `{master}`"))
}

impl ParentError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { known, .. } if known.is_empty() => {
                "there is no other Ethernet interface here either".to_owned()
            }
            Self::Missing { known, .. } => format!(
                "interfaces here: {}. The agent waits for a missing interface while it serves another one; the \
                 service starts it again every second",
                known.join(", ")
            ),
            Self::IsChild {
                parent: Some(parent),
                ..
            } => format!("run on the parent: --iface {parent}"),
            Self::IsChild { parent: None, .. } => {
                "run on its parent, in the parent's network namespace".to_owned()
            }
            Self::IsPort { .. } => {
                "ipvlan cannot have it as its parent: take it out of the master, or run on the \
                 master if children are there"
                    .to_owned()
            }
            Self::NotEthernet { .. } => "children of it need no neighbours answered".to_owned(),
        }
    }
}

/// Checks that a link can be a parent that we serve. `links` are those of its netns.
pub fn check_parent<'a>(links: &'a [Link], name: &str) -> Result<&'a Link, ParentError> {
    let Some(link) = links.iter().find(|link| link.name == name) else {
        let known = links
            .iter()
            .filter(|link| link.hardware == ETHERNET)
            .map(|link| link.name.to_string())
            .collect();
        return Err(ParentError::Missing {
            name: name.to_owned(),
            known,
        });
    };
    check_link(links, link)
}

/// Checks that this one of `links` can be a parent that we serve.
pub fn check_link<'a>(links: &[Link], link: &'a Link) -> Result<&'a Link, ParentError> {
    let link_name = |ifindex: u32| {
        links
            .iter()
            .find(|link| link.ifindex == ifindex)
            .map(|link| link.name.to_string())
    };
    let name = link.name.to_string();
    if let Some(kind @ ("ipvlan" | "ipvtap")) = link.kind.as_deref() {
        let parent = link
            .lower
            .filter(|lower| lower.netns == NetnsId::Own)
            .and_then(|lower| link_name(lower.ifindex));
        return Err(ParentError::IsChild {
            name,
            kind: kind.to_owned(),
            parent,
        });
    }
    // A VRF only changes which table routes are looked up in.
    if let Some(master) = &link.master
        && master.kind.as_deref() != Some("vrf")
    {
        return Err(ParentError::IsPort {
            name,
            kind: master.kind.clone().unwrap_or_else(|| "a master".to_owned()),
            master: link_name(master.ifindex),
        });
    }
    if link.hardware != ETHERNET || link.mac.is_none() {
        return Err(ParentError::NotEthernet {
            name,
            hardware: link.hardware,
        });
    }
    Ok(link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Lower, Master};

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    #[test]
    fn parents_that_cannot_be_are_named_with_what_to_do() {
        let ethernet = |ifindex, name: &str| Link {
            ifindex,
            name: name.into(),
            hardware: 1,
            mac: Some(MAC),
            ..Link::default()
        };
        let in_master = |ifindex, name, kind: &str| Link {
            master: Some(Master {
                ifindex: 4,
                kind: Some(kind.to_owned()),
            }),
            ..ethernet(ifindex, name)
        };
        let child = |ifindex, name, kind: &str, netns| Link {
            kind: Some(kind.to_owned()),
            lower: Some(Lower { ifindex: 2, netns }),
            ..ethernet(ifindex, name)
        };
        let links = [
            Link {
                hardware: 772,
                ..ethernet(1, "lo")
            },
            ethernet(2, "ens34"),
            in_master(3, "port", "bridge"),
            ethernet(4, "br0"),
            in_master(5, "in-vrf", "vrf"),
            child(7, "ipvlan7", "ipvlan", NetnsId::Own),
            child(8, "ipvtap8", "ipvtap", NetnsId::Own),
            child(9, "ipvtap9", "ipvtap", NetnsId::Nsid(3)),
        ];
        for name in ["ens34", "br0", "in-vrf"] {
            assert_eq!(check_parent(&links, name).unwrap().name, name);
        }
        let rows = [
            ("nope", "no interface `nope`", "ens34"),
            ("port", "port of bridge `br0`", "take it out"),
            ("ipvlan7", "an ipvlan child of `ens34`", "--iface ens34"),
            ("ipvtap8", "an ipvtap child of `ens34`", "--iface ens34"),
            ("ipvtap9", "itself an ipvtap child", "run on its parent"),
            ("lo", "not an Ethernet interface", "no neighbours"),
        ];
        for (name, message, hint) in rows {
            let error = check_parent(&links, name).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.hint().contains(hint), "{}", error.hint());
        }
    }
}
