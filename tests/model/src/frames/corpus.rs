//! A frame of every kind that any program looks at, to be cut, tagged and mutated.

use super::{
    super::world::{
        ANYCAST_IP6, BY_KERNEL_IP6, CHILD_IP, CHILD_IP6, CHILD_LL, FOREIGN_IP, FOREIGN_IP6,
        HOST_IP, HOST_IP6, LAN, LAN_IP, LOCAL_IP, LOCAL_IP6, OPTIMISTIC_IP6, PARENT, ROUTER_IP6,
    },
    Arp, Ipv4, Ipv6, Nd, ipv6,
    ndp::{NONCE, SOURCE_MAC, option},
};

/// Every valid frame of the corpus.
pub fn valid() -> Vec<Vec<u8>> {
    [arps(), ipv4_packets(), nds(), ipv6_packets()].concat()
}

pub fn arps() -> Vec<Vec<u8>> {
    let request = Arp::request(CHILD_IP);
    let reply = Arp { oper: 2, ..request };
    let messages = [
        request,
        Arp {
            eth_dst: PARENT,
            ..request
        },
        Arp {
            spa: [0; 4],
            ..request
        },
        Arp::request(FOREIGN_IP),
        Arp::from_parent(HOST_IP, CHILD_IP),
        Arp::from_parent(CHILD_IP, HOST_IP),
        Arp {
            eth_dst: PARENT,
            tha: PARENT,
            oper: 2,
            ..Arp::from_parent(HOST_IP, CHILD_IP)
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
        Ipv4::from_host(CHILD_IP),
        Ipv4::from_lan(CHILD_IP),
        Ipv4::from_lan(LOCAL_IP),
        Ipv4 {
            eth_dst: LAN,
            ..Ipv4::from_host(CHILD_IP)
        },
        Ipv4 {
            option_words: 3,
            ..Ipv4::from_lan(LOCAL_IP)
        },
    ];
    packets.iter().map(Ipv4::frame).collect()
}

pub fn nds() -> Vec<Vec<u8>> {
    let both = [option(NONCE, &[7; 6]), option(SOURCE_MAC, &LAN)].concat();
    let messages = [
        Nd::solicitation(CHILD_IP6),
        Nd::solicitation(CHILD_LL),
        Nd::solicitation(ROUTER_IP6),
        Nd::solicitation(OPTIMISTIC_IP6),
        Nd::solicitation(BY_KERNEL_IP6),
        Nd::solicitation(FOREIGN_IP6),
        Nd::solicitation(ANYCAST_IP6),
        Nd::solicitation(CHILD_IP6).with(both),
        Nd::unicast(CHILD_IP6),
        Nd::unicast(CHILD_IP6).with(Vec::new()),
        Nd::probe(CHILD_IP6),
        Nd::probe(CHILD_IP6).with(Vec::new()),
        Nd::probe(FOREIGN_IP6),
        Nd::announcement(CHILD_IP6),
        Nd::announcement(FOREIGN_IP6),
        Nd::solicitation(CHILD_IP6).answered(LAN, "SO", Vec::new()),
        Nd::from_parent(HOST_IP6, CHILD_IP6),
        Nd::from_parent(CHILD_IP6, HOST_IP6),
        Nd {
            eth_src: PARENT,
            ..Nd::probe(CHILD_IP6)
        },
    ];
    messages.iter().map(Nd::frame).collect()
}

pub fn ipv6_packets() -> Vec<Vec<u8>> {
    let packets = [
        Ipv6::from_host(CHILD_IP6),
        Ipv6::from_host(HOST_IP6),
        Ipv6::from_lan(CHILD_IP6),
        Ipv6::from_lan(LOCAL_IP6),
        Ipv6 {
            eth_dst: LAN,
            ..Ipv6::from_host(CHILD_IP6)
        },
    ];
    let solicitation = Nd::solicitation(CHILD_IP6).frame();
    let extended = [
        ipv6::next_header::HOP_BY_HOP,
        ipv6::next_header::FRAGMENT,
        ipv6::next_header::DESTINATION,
        ipv6::next_header::ROUTING,
    ]
    .map(|number| ipv6::extended(&solicitation, number));
    packets.iter().map(Ipv6::frame).chain(extended).collect()
}
