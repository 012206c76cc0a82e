//! A frame of every kind that any program looks at, to be cut, tagged and mutated.

use crate::prelude::*;

/// Every valid frame of the corpus.
pub fn valid() -> Vec<Vec<u8>> {
    [arps(), ipv4_packets(), nds(), ipv6_packets()].concat()
}

pub fn arps() -> Vec<Vec<u8>> {
    let request = arp::request(CHILD_IP);
    let reply = Arp { oper: 2, ..request };
    let messages = [
        request,
        Arp {
            eth_dst: PARENT,
            ..request
        },
        Arp {
            spa: UNSPECIFIED,
            ..request
        },
        arp::request(FOREIGN_IP),
        arp::request(BY_KERNEL_IP),
        Arp {
            spa: PROBING_IP,
            ..arp::request(PROBING_IP)
        },
        arp::from_parent(HOST_IP, CHILD_IP),
        arp::from_parent(CHILD_IP, HOST_IP),
        Arp {
            eth_dst: PARENT,
            tha: PARENT,
            oper: 2,
            ..arp::from_parent(HOST_IP, CHILD_IP)
        },
        Arp {
            spa: CHILD_IP,
            tpa: LAN_IP,
            ..reply
        },
        Arp {
            spa: CHILD_IP,
            ..request
        },
    ];
    messages.map(Arp::frame).to_vec()
}

pub fn ipv4_packets() -> Vec<Vec<u8>> {
    let packets = [
        ip::from_host(CHILD_IP),
        ip::from_lan(CHILD_IP),
        ip::from_lan(LOCAL_IP),
        IpPacket {
            eth_dst: LAN,
            ..ip::from_host(CHILD_IP)
        },
        IpPacket {
            option_words: 3,
            ..ip::from_lan(LOCAL_IP)
        },
    ];
    packets.iter().map(IpPacket::frame).collect()
}

pub fn nds() -> Vec<Vec<u8>> {
    let both = [option(NONCE, &[7; 6]), option(SOURCE_MAC, &LAN)].concat();
    let messages = [
        ndp::solicitation(CHILD_IP6),
        ndp::solicitation(CHILD_LL),
        ndp::solicitation(ROUTER_IP6),
        ndp::solicitation(OPTIMISTIC_IP6),
        ndp::solicitation(BY_KERNEL_IP6),
        ndp::solicitation(FOREIGN_IP6),
        ndp::solicitation(ANYCAST_IP6),
        ndp::solicitation(CHILD_IP6).with(both),
        ndp::unicast(CHILD_IP6),
        ndp::unicast(CHILD_IP6).with(Vec::new()),
        ndp::probe(CHILD_IP6),
        ndp::probe(CHILD_IP6).with(Vec::new()),
        ndp::probe(FOREIGN_IP6),
        ndp::announcement(CHILD_IP6),
        ndp::announcement(FOREIGN_IP6),
        ndp::solicitation(CHILD_IP6).answered(LAN, "SO", Vec::new()),
        ndp::from_parent(HOST_IP6, CHILD_IP6),
        ndp::from_parent(CHILD_IP6, HOST_IP6),
        Nd {
            eth_src: PARENT,
            ..ndp::probe(CHILD_IP6)
        },
    ];
    messages.iter().map(Nd::frame).collect()
}

pub fn ipv6_packets() -> Vec<Vec<u8>> {
    let packets = [
        ip::from_host(CHILD_IP6),
        ip::from_host(HOST_IP6),
        ip::from_lan(CHILD_IP6),
        ip::from_lan(LOCAL_IP6),
        IpPacket {
            eth_dst: LAN,
            ..ip::from_host(CHILD_IP6)
        },
    ];
    let solicitation = ndp::solicitation(CHILD_IP6).frame();
    let extended = [
        number::HOP_BY_HOP,
        number::FRAGMENT,
        number::DESTINATION,
        number::ROUTING,
    ]
    .map(|number| ip::extended(&solicitation, number));
    packets
        .iter()
        .map(IpPacket::frame)
        .chain(extended)
        .collect()
}
