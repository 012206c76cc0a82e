use netlink_packet_core::Emitable as _;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, Inet6DevConf, InetDevConf, InfoData, InfoIpVlan,
    InfoKind, IpVlanFlags, IpVlanMode, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp,
    Stats64,
};
use proptest::prelude::*;

use super::*;

fn payload(attributes: Vec<LinkAttribute>) -> Vec<u8> {
    let mut message = LinkMessage::default();
    message.header.index = 9;
    message.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
    message.attributes = attributes;
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

fn ipvlan(mode: IpVlanMode, flags: IpVlanFlags) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::IpVlan),
        LinkInfo::Data(InfoData::IpVlan(vec![
            InfoIpVlan::Mode(mode),
            InfoIpVlan::Flags(flags),
        ])),
    ])
}

#[test]
fn mode_flag_parent_and_counters_of_an_ipvlan_child_are_read() {
    let mut stats = Stats64::default();
    (stats.rx_packets, stats.tx_packets) = (1, 2);
    (stats.rx_bytes, stats.tx_bytes) = (3, 4);
    let bytes = payload(vec![
        LinkAttribute::IfName("ipvl0".into()),
        LinkAttribute::IfAlias("web\u{1b}".into()),
        LinkAttribute::Mtu(1500),
        LinkAttribute::Link(3),
        LinkAttribute::LinkNetNsId(5),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
        LinkAttribute::Stats64(stats),
        ipvlan(IpVlanMode::L3S, IpVlanFlags::Private),
    ]);
    let link = decode_link(&bytes).unwrap();
    assert!(link.is_up() && link.has_carrier());
    let expected = LinkRow {
        ifindex: 9,
        hardware: link.hardware,
        flags: link.flags,
        name: "ipvl0".into(),
        alias: Some(r"web\u{1b}".into()),
        mac: Some([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        ipv4: Ipv4Settings::default(),
        forwarding: false,
        kind: Some("ipvlan".into()),
        port: Some(Ok(Port {
            mode: Mode::L3s,
            flag: PortFlag::Private,
        })),
        master: None,
        master_kind: None,
        lower: Some(3),
        lower_nsid: Some(5),
        xdp: Vec::new(),
        stats: LinkStats {
            rx_packets: 1,
            rx_bytes: 3,
            tx_packets: 2,
            tx_bytes: 4,
        },
    };
    assert_eq!(link, expected);
}

#[test]
fn every_mode_and_flag_is_known() {
    for (wire, mode) in [
        (IpVlanMode::L2, Mode::L2),
        (IpVlanMode::L3, Mode::L3),
        (IpVlanMode::L3S, Mode::L3s),
    ] {
        for (bits, flag) in [
            (IpVlanFlags::empty(), PortFlag::Bridge),
            (IpVlanFlags::Private, PortFlag::Private),
            (IpVlanFlags::Vepa, PortFlag::Vepa),
        ] {
            let link = decode_link(&payload(vec![ipvlan(wire, bits)])).unwrap();
            assert_eq!(link.port, Some(Ok(Port { mode, flag })));
        }
    }
}

#[test]
fn a_mode_from_the_future_is_an_error_and_not_a_guess() {
    let bytes = payload(vec![ipvlan(IpVlanMode::Other(3), IpVlanFlags::empty())]);
    let unknown = Some(Err(Malformed("unknown ipvlan mode")));
    assert_eq!(decode_link(&bytes).unwrap().port, unknown);
}

#[test]
fn xdp_programs_are_listed_with_their_mode() {
    let bytes = payload(vec![LinkAttribute::Xdp(vec![
        LinkXdp::ProgId(11),
        LinkXdp::SkbProgId(11),
        LinkXdp::DrvProgId(12),
    ])]);
    let programs = decode_link(&bytes).unwrap().xdp;
    let expected = [(XdpMode::Generic, 11), (XdpMode::Native, 12)]
        .map(|(mode, program)| Xdp { mode, program });
    assert_eq!(programs, expected);
}

#[test]
fn ipv6_forwarding_is_read_from_the_settings() {
    let inet6 = |forwarding| {
        let mut settings = Inet6DevConf::default();
        settings.forwarding = forwarding;
        AfSpecUnspec::Inet6(vec![
            AfSpecInet6::Token(std::net::Ipv6Addr::UNSPECIFIED),
            AfSpecInet6::DevConf(settings),
        ])
    };
    let inet = || AfSpecUnspec::Inet(vec![AfSpecInet::DevConf(InetDevConf::default())]);
    for (families, forwarding) in [
        (vec![], false),
        (vec![inet()], false),
        (vec![inet(), inet6(0)], false),
        (vec![inet(), inet6(1)], true),
        // "As a router, but accept router advertisements" (`forwarding` = 2 of old kernels).
        (vec![inet6(2), inet()], true),
    ] {
        let row = payload(vec![LinkAttribute::AfSpecUnspec(families)]);
        assert_eq!(decode_link(&row).unwrap().forwarding, forwarding);
    }
}

#[test]
fn ipv4_forwarding_and_ignored_requests_are_read_from_the_settings() {
    for (forwarding, arp_ignore) in [(0, 0), (1, 0), (0, 8), (2, 3)] {
        let mut settings = InetDevConf::default();
        (settings.forwarding, settings.arp_ignore) = (forwarding, arp_ignore);
        let families = vec![
            AfSpecUnspec::Inet6(vec![]),
            AfSpecUnspec::Inet(vec![AfSpecInet::DevConf(settings)]),
        ];
        let row = payload(vec![LinkAttribute::AfSpecUnspec(families)]);
        let expected = Ipv4Settings {
            forwarding: forwarding != 0,
            arp_ignore,
        };
        assert_eq!(decode_link(&row).unwrap().ipv4, expected);
    }
}

#[test]
fn cut_settings_are_malformed() {
    let of_family = |family: u8, kind: u8| [12, 0, family, 0, 6, 0, kind, 0, 1, 0, 0, 0];
    for (bytes, expected) in [
        (of_family(10, 2), "truncated IPv6 settings"),
        (of_family(2, 1), "truncated IPv4 settings"),
    ] {
        let decoded = decode_families(&bytes, &mut LinkRow::default());
        assert_eq!(decoded, Err(Malformed(expected)));
    }
}

#[test]
fn a_tunnel_over_no_link_has_no_lower() {
    let link = decode_link(&payload(vec![LinkAttribute::Link(0)])).unwrap();
    assert_eq!(link.lower, None);
}

proptest! {
    #[test]
    fn any_change_of_a_real_row_decodes_or_is_malformed(at: prop::sample::Index, byte: u8) {
        let mut bytes = payload(vec![
            LinkAttribute::IfName("ipvl0".into()),
            LinkAttribute::Stats64(Stats64::default()),
            LinkAttribute::Xdp(vec![LinkXdp::SkbProgId(11)]),
            LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![
                AfSpecInet6::DevConf(Inet6DevConf::default()),
            ])]),
            ipvlan(IpVlanMode::L2, IpVlanFlags::empty()),
        ]);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode_link(&bytes);
    }
}
