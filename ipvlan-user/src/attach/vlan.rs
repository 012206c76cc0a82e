//! Whether VLAN tags reach the XDP program.
//!
//! A NIC with receive VLAN offload takes the tag out of the frame and puts it beside it, where the TC programs
//! see it (`skb->vlan_present`) and an XDP program does not: a request on another VLAN looks untagged. The kernel
//! gives XDP such a tag only through a kfunc for programs that are bound to one device
//! (`bpf_xdp_metadata_rx_vlan_tag`), in native mode, with drivers that implement it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
};

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};

use super::ethtool::Features;
use crate::{netlink::link, text::escaped};

/// Features of `ethtool -k` that take a tag out of a frame, or leave it out on transmission.
const RX: [&str; 2] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];
const TX: [&str; 2] = ["tx-vlan-hw-insert", "tx-vlan-stag-hw-insert"];

/// Why VLAN tags may be hidden from XDP.
#[derive(Debug)]
pub(super) enum HiddenTags {
    /// Features of an interface are on.
    Offload {
        /// The interface: the parent, a device below it, or the peer of a veth.
        name: String,
        /// The features.
        features: Vec<&'static str>,
        /// It is a veth, whose peer leaves the tag out of the frame.
        veth: bool,
    },
    /// The features could not be read.
    Unknown(io::Error),
}

impl fmt::Display for HiddenTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offload {
                name,
                features,
                veth,
            } => {
                let name = escaped(name.as_bytes());
                write!(
                    f,
                    "VLAN offload of `{name}` is on, which hides VLAN tags from XDP: the TC programs answer \
                     (switch it off with `ethtool -K {name}"
                )?;
                for feature in features {
                    write!(f, " {feature} off")?;
                }
                f.write_str("`")?;
                if *veth {
                    f.write_str(", and the tx-vlan features of its peer")?;
                }
                f.write_str(")")
            }
            Self::Unknown(error) => write!(
                f,
                "cannot read whether VLAN offload hides VLAN tags from XDP ({error}): the TC programs answer"
            ),
        }
    }
}

/// Returns why tags of frames that this parent receives may be hidden from XDP, if they may.
pub(super) fn hidden_tags(parent: u32) -> Option<HiddenTags> {
    let found = devices().and_then(|devices| search(parent, &devices, &mut features_of));
    found.unwrap_or_else(|error| Some(HiddenTags::Unknown(error)))
}

fn features_of(ifindex: u32, names: &[&'static str]) -> io::Result<Vec<&'static str>> {
    let features = Features::read(ifindex)?;
    let active = names.iter().copied().filter(|name| features.has(name));
    Ok(active.collect())
}

/// What matters about an interface of this netns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Device {
    name: String,
    kind: Kind,
    master: Option<u32>,
    /// The device that it is on, or its peer, if that is in this netns.
    lower: Option<u32>,
    /// That is in another netns.
    elsewhere: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    Veth,
    /// Hands frames of the device below on as they are.
    Stacked,
    #[default]
    Other,
}

/// Searches the parent and all that its frames come through for an offload. A VLAN device ends the search
/// downwards: the tag that is hidden there is its own.
fn search(
    parent: u32,
    devices: &BTreeMap<u32, Device>,
    active: &mut impl FnMut(u32, &[&'static str]) -> io::Result<Vec<&'static str>>,
) -> io::Result<Option<HiddenTags>> {
    let mut seen = BTreeSet::new();
    let mut next = vec![parent];
    while let Some(ifindex) = next.pop() {
        if !seen.insert(ifindex) {
            continue;
        }
        let device = devices.get(&ifindex).cloned().unwrap_or_default();
        let veth = device.kind == Kind::Veth;
        if device.kind == Kind::Stacked && device.elsewhere {
            let text = format!(
                "the device below `{}` is in another netns",
                escaped(device.name.as_bytes())
            );
            return Err(io::Error::other(text));
        }
        let peer = device.lower.filter(|_| veth);
        // What a veth receives its peer has sent, with or without the tag in the frame.
        let sides = [(Some(ifindex), &RX), (peer, &TX)];
        for (side, names) in sides {
            let Some(side) = side else { continue };
            let features = active(side, names)?;
            if !features.is_empty() {
                let name = devices.get(&side).map(|device| device.name.clone());
                return Ok(Some(HiddenTags::Offload {
                    name: name.unwrap_or_default(),
                    features,
                    veth: veth && side == ifindex,
                }));
            }
        }
        let ports = devices
            .iter()
            .filter(|(_, other)| other.master == Some(ifindex));
        next.extend(ports.map(|(port, _)| *port));
        next.extend(device.lower.filter(|_| device.kind == Kind::Stacked));
    }
    Ok(None)
}

/// Reads the interfaces of this netns.
fn devices() -> io::Result<BTreeMap<u32, Device>> {
    let links = link::all()?;
    Ok(links
        .iter()
        .map(|link| (link.header.index, device(link)))
        .collect())
}

fn device(link: &LinkMessage) -> Device {
    let mut device = Device::default();
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name.clone_from(name),
            LinkAttribute::Controller(master) => device.master = Some(*master),
            LinkAttribute::Link(lower) => device.lower = Some(*lower),
            LinkAttribute::LinkNetNsId(_) => device.elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        device.kind = match kind {
                            InfoKind::Veth => Kind::Veth,
                            InfoKind::MacVlan | InfoKind::MacVtap => Kind::Stacked,
                            _ => Kind::Other,
                        };
                    }
                }
            }
            _ => {}
        }
    }
    if device.elsewhere {
        device.lower = None;
    }
    device
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, kind: Kind, master: Option<u32>, lower: Option<u32>) -> Device {
        Device {
            name: name.to_owned(),
            kind,
            master,
            lower,
            elsewhere: false,
        }
    }

    #[test]
    fn an_offload_counts_wherever_frames_of_the_parent_come_through_it() {
        let other = |name, master| device(name, Kind::Other, master, None);
        let devices = BTreeMap::from([
            (1, other("eth0", None)),
            (2, other("bond0", Some(3))),
            (3, other("br0", None)),
            (4, other("eth1", Some(2))),
            (5, device("mac0", Kind::Stacked, None, Some(1))),
            // A VLAN device takes its own tag off.
            (6, device("eth0.5", Kind::Other, None, Some(1))),
            (7, device("veth0", Kind::Veth, None, Some(8))),
            (8, device("veth1", Kind::Veth, None, Some(7))),
            (9, device("veth2", Kind::Veth, None, None)),
        ]);
        // Parent, interface with the offload, which side of it, and whether it hides tags.
        let rows = [
            (1, 1, RX[0], true),
            (1, 1, RX[1], true),
            (1, 1, TX[0], false),
            (1, 4, RX[0], false),
            (3, 4, RX[0], true),
            (3, 2, RX[1], true),
            (2, 4, RX[0], true),
            (5, 1, RX[0], true),
            (6, 1, RX[0], false),
            (7, 7, RX[0], true),
            (7, 8, TX[0], true),
            (7, 8, TX[1], true),
            (7, 7, TX[0], false),
            (7, 8, RX[0], false),
            (9, 9, RX[0], true),
            (9, 9, TX[0], false),
        ];
        for (parent, ifindex, feature, hides) in rows {
            let mut active = |of: u32, names: &[&'static str]| {
                let active = names
                    .iter()
                    .copied()
                    .filter(|name| of == ifindex && *name == feature);
                Ok(active.collect())
            };
            let found = search(parent, &devices, &mut active).unwrap();
            let row = (parent, ifindex, feature);
            assert_eq!(found.is_some(), hides, "{row:?}");
            if let Some(found) = found {
                let text = found.to_string();
                let fix = format!("ethtool -K {} {feature} off`", devices[&ifindex].name);
                assert!(text.contains(&fix), "{text}");
            }
        }
    }

    #[test]
    fn an_offload_that_cannot_be_read_hides_tags() {
        let lower_elsewhere = Device {
            elsewhere: true,
            ..device("mac0", Kind::Stacked, None, None)
        };
        let devices = BTreeMap::from([(1, lower_elsewhere)]);
        assert!(search(1, &devices, &mut |_, _| Ok(Vec::new())).is_err());
        assert!(matches!(
            hidden_tags(u32::MAX / 2),
            Some(HiddenTags::Unknown(_))
        ));
        assert!(hidden_tags(1).is_none(), "the loopback has none");
    }
}
