//! Classes of frames, and which programs do what with them.

use std::net::Ipv6Addr;

use ipvlan_model::prelude::*;
use ipvlan_tests::bpf::Varied;

/// The child with this number has these two addresses.
pub(crate) const fn v4(number: u16) -> Ip {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 9, high, low)
}

/// In another on-link prefix, with its number in the last two bytes.
pub(crate) const fn v6(number: u16) -> Ip6 {
    Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, number)
}

/// Nobody has these, whatever their last two bytes.
const NOBODY: Ip = Ipv4Addr::new(10, 170, 0, 0);
const NOBODY6: Ip6 = Ipv6Addr::new(0xfd00, 0xaa, 0, 0, 0, 0, 0, 0);

/// Frames that differ only in which child, or which of nobody's addresses, they are for.
pub(crate) struct Class {
    /// What people are shown.
    pub(crate) name: &'static str,
    pub(crate) frame: Vec<u8>,
    /// Where the number of the child is; the mask says how many there are.
    pub(crate) varied: Varied,
    /// What becomes of it, and what is counted.
    pub(crate) taken: Vec<(Program, Act, Option<Reason>)>,
}

const IPV4_ID: usize = 18;
const IPV4_DST: usize = 32;
const IPV6_DST: usize = 52;
const ARP_TPA: usize = 40;
const ND_ETH_DST: usize = 4;
const ND_RESERVED: [usize; 2] = [58, 60];
const ND_TARGET: usize = 76;

/// What programs do with a frame, and what they count.
type Taken = Vec<(Program, Act, Option<Reason>)>;

/// The number of the child is at these places of the frame, and its complement at those.
fn class(
    name: &'static str,
    frame: Vec<u8>,
    [with, against]: [&[usize]; 2],
    taken: Taken,
) -> Class {
    let varied = Varied {
        mask: 0,
        with: with.to_vec(),
        against: against.to_vec(),
    };
    Class {
        name,
        frame,
        varied,
        taken,
    }
}

fn ip(name: &'static str, packet: &IpPacket, taken: Taken) -> Class {
    let places: [&[usize]; 2] = match packet.dst {
        // The header's checksum stays right: the complement is in its identification.
        IpAddr::V4(_) => [&[IPV4_DST], &[IPV4_ID]],
        IpAddr::V6(_) => [&[IPV6_DST], &[]],
    };
    class(name, packet.frame(), places, taken)
}

fn arp(name: &'static str, asked: Arp, taken: Taken) -> Class {
    class(name, asked.frame(), [&[ARP_TPA], &[]], taken)
}

/// The number is in the target and in its group; its complement in the two reserved half words, which
/// a receiver must not look at, so the checksum stays right.
fn nd(name: &'static str, asked: &Nd, taken: Taken) -> Class {
    let frame = patched(asked.frame(), ND_RESERVED[0], &[0xff; 4]);
    let places: [&[usize]; 2] = [&[ND_ETH_DST, IPV6_DST, ND_TARGET], &ND_RESERVED];
    class(name, frame, places, taken)
}

/// Every class there is a promise for.
pub(crate) fn all() -> Vec<Class> {
    let mut classes = packets();
    classes.extend(neighbours());
    classes.extend(of_one_address());
    classes
}

/// Frames for the same address each time, with what is done besides lookups and replies.
fn of_one_address() -> Vec<Class> {
    use Act::{Pass, Send};
    use Program::{Ingress, IngressDemux, Xdp};
    let redirected = || vec![(IngressDemux, Send, Some(Reason::Redirected))];
    let unwritten = || {
        let left = Some(Reason::LeftToKernel);
        vec![(Ingress, Pass, left), (Xdp, Pass, left)]
    };
    let claim = Arp {
        spa: SIBLING_IP,
        ..arp::request(CHILD_IP)
    };
    let same = |name, frame, taken| class(name, frame, [&[], &[]], taken);
    vec![
        same(
            "IPv4 to a child of the host, redirected",
            ip::from_lan(LOCAL_IP).frame(),
            redirected(),
        ),
        same(
            "IPv6 to a child of the host, redirected",
            ip::from_lan(LOCAL_IP6).frame(),
            redirected(),
        ),
        same(
            "ARP, all of an answer but writing it",
            arp::request(BY_KERNEL_IP).frame(),
            unwritten(),
        ),
        same(
            "NS, all of an answer but writing it",
            ndp::solicitation(BY_KERNEL_IP6).frame(),
            unwritten(),
        ),
        // Of a station that has claimed too much already.
        same(
            "ARP, a claim too many",
            claim.frame(),
            vec![(Ingress, Pass, Some(Reason::SenderConflict))],
        ),
    ]
}

fn packets() -> Vec<Class> {
    use Act::{Pass, Send};
    use Program::{Egress, EgressRouted, Ingress, IngressDemux, Xdp};
    let left = Some(Reason::LeftToDriver);
    let not_ours = Some(Reason::NotOurs);
    let hairpinned = Some(Reason::Hairpinned);
    let to_child = || {
        vec![
            (Ingress, Pass, None),
            (IngressDemux, Pass, left),
            (Xdp, Pass, None),
        ]
    };
    let missed = || {
        vec![
            (IngressDemux, Pass, not_ours),
            (EgressRouted, Pass, not_ours),
        ]
    };
    let turned = || vec![(Egress, Send, hairpinned), (EgressRouted, Send, hairpinned)];
    let unrelated = || vec![(Egress, Pass, None), (EgressRouted, Pass, not_ours)];
    let leaving = ip::from_host(NOBODY).to(LAN);
    let leaving6 = ip::from_host(NOBODY6).to(LAN);
    vec![
        ip("IPv4 to a child", &ip::from_lan(v4(0)), to_child()),
        ip("IPv6 to a child", &ip::from_lan(v6(0)), to_child()),
        ip("IPv4 to nobody here", &ip::from_lan(NOBODY), missed()),
        ip("IPv6 to nobody here", &ip::from_lan(NOBODY6), missed()),
        ip("IPv4 host to child", &ip::from_host(v4(0)), turned()),
        ip("IPv6 host to child", &ip::from_host(v6(0)), turned()),
        ip("IPv4 unrelated, leaving", &leaving, unrelated()),
        ip("IPv6 unrelated, leaving", &leaving6, unrelated()),
    ]
}

fn neighbours() -> Vec<Class> {
    use Act::{Pass, Send};
    use Program::{Egress, EgressRouted, Ingress, IngressDemux, Xdp};
    let by = |programs: &[Program], act, reason| {
        let taken = programs.iter().map(|&program| (program, act, Some(reason)));
        taken.collect::<Vec<_>>()
    };
    let wire = [Ingress, IngressDemux, Xdp];
    let egress = [Egress, EgressRouted];
    let (arp_from_host, nd_from_host) = (
        arp::from_parent(HOST_IP, v4(0)),
        ndp::from_parent(HOST_IP6, v6(0)),
    );
    vec![
        arp(
            "ARP answered",
            arp::request(v4(0)),
            by(&wire, Send, Reason::ArpAnswered),
        ),
        arp(
            "ARP answered, of the host",
            arp_from_host,
            by(&egress, Send, Reason::ArpAnswered),
        ),
        arp(
            "ARP for nobody here",
            arp::request(NOBODY),
            by(&wire, Pass, Reason::NotOurs),
        ),
        nd(
            "NS answered",
            &ndp::solicitation(v6(0)),
            by(&wire, Send, Reason::NdAnswered),
        ),
        nd(
            "NS answered, of the host",
            &nd_from_host,
            by(&egress, Send, Reason::NdAnswered),
        ),
        nd(
            "NS for nobody here",
            &ndp::solicitation(NOBODY6),
            by(&wire, Pass, Reason::NotOurs),
        ),
    ]
}
