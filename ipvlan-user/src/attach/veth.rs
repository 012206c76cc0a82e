//! Whether a veth delivers what native XDP sends out of it.
//!
//! Its peer receives such frames only in NAPI mode (`veth_xdp_xmit`), which it is in while it has a native XDP program
//! or GRO; otherwise the kernel drops them. A peer in another netns shows its program, and not whether it has GRO.

use std::{fmt, io};

use netlink_packet_core::DefaultNla;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkInfo, LinkMessage, LinkXdp, XdpAttached,
};

use super::ethtool::Features;
use crate::{netlink::link, text::escaped};

/// The feature of a peer that receives by GRO (`NETIF_F_GRO`).
const GRO: &str = "rx-gro";

/// A veth whose peer may drop what native XDP sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeafPeer {
    veth: Veth,
    /// The name of its peer, if that is in this netns.
    peer: Option<String>,
}

impl fmt::Display for DeafPeer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the peer of veth `{}` may not receive frames that native XDP sends: the TC programs answer (it \
             receives them with a native XDP program of its own",
            escaped(self.veth.name.as_bytes())
        )?;
        if let Some(peer) = &self.peer {
            let peer = escaped(peer.as_bytes());
            write!(formatter, ", or with GRO: `ethtool -K {peer} gro on`")?;
        }
        formatter.write_str(")")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Veth {
    name: String,
    peer: u32,
    /// The nsid of the peer's netns, if that is another one.
    nsid: Option<i32>,
}

/// Returns the first veth by which this parent sends whose peer may not receive what native XDP sends: the parent
/// itself, or a slave of a bond.
pub(super) fn deaf_peer(parent: u32) -> Option<DeafPeer> {
    let links = link::all().ok()?;
    let veths = links
        .iter()
        .filter(|link| link.header.index == parent || controller(link) == Some(parent))
        .filter_map(veth);
    for veth in veths {
        // What cannot be read is not known to receive.
        if !receives(&veth).unwrap_or_default() {
            let is_peer =
                |link: &&LinkMessage| veth.nsid.is_none() && link.header.index == veth.peer;
            let peer = links.iter().find(is_peer).map(name);
            return Some(DeafPeer { veth, peer });
        }
    }
    None
}

fn receives(veth: &Veth) -> io::Result<bool> {
    let mut request = LinkMessage::default();
    request.header.index = veth.peer;
    if let Some(nsid) = veth.nsid {
        let attribute = DefaultNla::new(libc::IFLA_TARGET_NETNSID, nsid.to_ne_bytes().to_vec());
        request.attributes.push(LinkAttribute::Other(attribute));
    }
    let has_program = link::read(request)?.is_some_and(|link| has_native_program(&link));
    Ok(has_program || (veth.nsid.is_none() && Features::read(veth.peer)?.has(GRO)))
}

fn has_native_program(link: &LinkMessage) -> bool {
    let is_native = |xdp: &LinkXdp| {
        matches!(
            xdp,
            LinkXdp::Attached(XdpAttached::Driver | XdpAttached::Multiple)
        )
    };
    link.attributes
        .iter()
        .any(|attribute| matches!(attribute, LinkAttribute::Xdp(xdp) if xdp.iter().any(is_native)))
}

fn controller(link: &LinkMessage) -> Option<u32> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Controller(master) => Some(*master),
            _ => None,
        })
}

fn name(link: &LinkMessage) -> String {
    let mut names = link
        .attributes
        .iter()
        .filter_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        });
    names.next().unwrap_or_default()
}

fn veth(link: &LinkMessage) -> Option<Veth> {
    let mut is_veth = false;
    let (mut peer, mut nsid) = (None, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Link(index) => peer = Some(*index),
            LinkAttribute::LinkNetNsId(id) => nsid = Some(*id),
            LinkAttribute::LinkInfo(infos) => {
                is_veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth));
            }
            _ => {}
        }
    }
    Some(Veth {
        name: name(link),
        peer: peer.filter(|_| is_veth)?,
        nsid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.attributes = attributes;
        link
    }

    #[test]
    fn a_veth_is_known_with_its_peer() {
        let named = |kind, more: &[LinkAttribute]| {
            let name = LinkAttribute::IfName("eth0".to_owned());
            let info = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]);
            veth(&link(
                [&[name, LinkAttribute::Link(7), info], more].concat(),
            ))
        };
        let here = Veth {
            name: "eth0".to_owned(),
            peer: 7,
            nsid: None,
        };
        let far = Veth {
            nsid: Some(3),
            ..here.clone()
        };
        assert_eq!(named(InfoKind::Veth, &[]), Some(here.clone()));
        let elsewhere = [LinkAttribute::LinkNetNsId(3)];
        assert_eq!(named(InfoKind::Veth, &elsewhere), Some(far.clone()));
        assert_eq!(named(InfoKind::MacVlan, &[]), None);

        let shown = |veth, peer: Option<&str>| {
            let peer = peer.map(str::to_owned);
            DeafPeer { veth, peer }.to_string()
        };
        assert!(shown(here, Some("eth1")).ends_with("`ethtool -K eth1 gro on`)"));
        assert!(!shown(far, None).contains("GRO"));
    }

    #[test]
    fn only_a_native_program_makes_a_peer_receive() {
        let rows = [
            (XdpAttached::None, false),
            (XdpAttached::SocketBuffer, false),
            (XdpAttached::Driver, true),
            (XdpAttached::Multiple, true),
        ];
        for (attached, native) in rows {
            let xdp = LinkAttribute::Xdp(vec![LinkXdp::Attached(attached)]);
            assert_eq!(has_native_program(&link(vec![xdp])), native);
        }
        assert!(!has_native_program(&link(Vec::new())));
    }
}
