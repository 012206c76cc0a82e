//! Frames that nobody thought of: valid ones with fields, lengths and switches changed at random.

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::{frames::JUNK, prelude::*};

/// Longest frame: more than any Ethernet frame, less than a page.
const LONGEST: usize = 1_600;

/// Every address of [`all_entries`], and some that have none.
fn addresses() -> (Vec<Ip>, Vec<Ip6>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in all_entries().into_keys() {
        match address {
            IpAddr::V4(address) => v4.push(address),
            IpAddr::V6(address) => v6.push(address),
        }
    }
    v4.extend([LAN_IP, FOREIGN_IP]);
    let group = solicited_node;
    v6.extend([LAN_IP6, FOREIGN_IP6, ANYCAST_IP6]);
    v6.extend([group(FOREIGN_IP6), group(OPTIMISTIC_IP6)]);
    (v4, v6)
}

/// What the bytes of an option may be changed to.
const OPTIONS: [&[u8]; 8] = [
    &[1, 1, 2, 0, 0, 0, 0x99, 0x0a],
    &[2, 1, 2, 0, 0, 0, 0x99, 0x0a],
    &[1, 1, 2, 0, 0, 0, 0x34, 0x01],
    &[1, 1, 0, 0, 0, 0, 0, 0],
    &[1, 2, 2, 0, 0, 0, 0x99, 0x0a],
    &[14, 1, 1, 2, 3, 4, 5, 6],
    &[14, 0],
    &[253, 3],
];

/// A change to a frame.
#[derive(Clone, Debug)]
enum Edit {
    Mac(usize, Mac),
    /// The sender everywhere: source of the frame, of an ARP message and in the first option.
    Sender(Mac),
    Ip(usize, Ip),
    Ip6(usize, Ip6),
    /// Another address to solicit, with the group, the MAC of the group and, if it is unicast, the
    /// destination that go with it.
    Target(Ip6, bool),
    Field(usize, u16),
    Byte(Index, u8),
    Cut(Index),
    Junk(Index),
    /// Options behind those of a message, and a payload length that counts them.
    Options(usize),
    /// An extension header.
    Extension(u8),
    /// The payload length that the frame has room for.
    Length,
}

fn edit() -> impl Strategy<Value = Edit> {
    let (addresses, addresses6) = addresses();
    let macs = select(vec![
        PARENT,
        LAN,
        OTHER,
        BROADCAST,
        MULTICAST,
        ZERO,
        ALL_NODES_MAC,
        group_mac(solicited_node(CHILD_IP6)),
        group_mac(solicited_node(FOREIGN_IP6)),
    ]);
    let numbers = select(vec![
        0, 1, 2, 3, 6, 8, 0x0604, 0x0800, 0x0806, 0x8100, 0x86dd, 0x4500, 0x4600, 0x6000, 20, 24,
        28, 32, 44, 256, 264, 0x3aff, 0x3a40, 0x2cff, 0x8700, 0x8800, 0x8701, 0xffff,
    ]);
    let fields = select(vec![
        12,
        arp::HTYPE,
        arp::PTYPE,
        arp::HLEN,
        arp::OPER,
        v6::VERSION,
        v6::PAYLOAD_LEN,
        v6::NEXT_HEADER,
        ndp::TYPE,
    ]);
    let at_macs = select(vec![0, 6, arp::SHA, ndp::OPTIONS + 2]);
    let at_v4 = select(vec![arp::SPA, arp::TPA, v4::SRC, v4::DST]);
    let at_v6 = select(vec![v6::SRC, v6::DST, ndp::TARGET]);
    prop_oneof![
        4 => (at_macs, macs).prop_map(|(at, mac)| Edit::Mac(at, mac)),
        2 => select(vec![PARENT, PARENT, LAN, OTHER]).prop_map(Edit::Sender),
        4 => (at_v4, select(addresses)).prop_map(|(at, ip)| Edit::Ip(at, ip)),
        4 => (at_v6, select(addresses6.clone())).prop_map(|(at, ip)| Edit::Ip6(at, ip)),
        4 => (select(addresses6), any::<bool>())
            .prop_map(|(target, multicast)| Edit::Target(target, multicast)),
        2 => (fields, numbers).prop_map(|(at, number)| Edit::Field(at, number)),
        2 => any::<(Index, u8)>().prop_map(|(at, byte)| Edit::Byte(at, byte)),
        1 => any::<Index>().prop_map(Edit::Cut),
        1 => any::<Index>().prop_map(Edit::Junk),
        2 => (0..OPTIONS.len()).prop_map(Edit::Options),
        1 => select(vec![0, 43, 44, 51, 60, 255]).prop_map(Edit::Extension),
        1 => Just(Edit::Length),
    ]
}

impl Edit {
    fn apply(&self, frame: &mut Vec<u8>) {
        match self {
            Self::Mac(at, mac) => put(frame, *at, mac),
            Self::Sender(mac) => {
                for at in [6, arp::SHA, ndp::OPTIONS + 2] {
                    put(frame, at, mac);
                }
            }
            Self::Ip(at, ip) => put(frame, *at, &ip.octets()),
            Self::Ip6(at, ip) => put(frame, *at, &ip.octets()),
            Self::Target(target, multicast) => {
                let (mac, dst) = if *multicast {
                    (group_mac(solicited_node(*target)), solicited_node(*target))
                } else {
                    (PARENT, *target)
                };
                put(frame, 0, &mac);
                put(frame, v6::DST, &dst.octets());
                put(frame, ndp::TARGET, &target.octets());
            }
            Self::Field(at, number) => put(frame, *at, &number.to_be_bytes()),
            Self::Byte(at, byte) => {
                let at = at.index(frame.len().min(96));
                frame[at] = *byte;
            }
            Self::Cut(at) => frame.truncate(ETH_LEN + at.index(frame.len() - ETH_LEN + 1)),
            Self::Junk(at) => {
                let len = frame.len() + at.index(LONGEST - frame.len() + 1);
                frame.resize(len, JUNK);
            }
            Self::Options(which) => {
                if frame.len() + 8 <= LONGEST {
                    let mut option = OPTIONS[*which].to_vec();
                    option.resize(8, 0);
                    frame.extend(option);
                }
                set_length(frame);
            }
            Self::Extension(number) => {
                if (v6::LEN..LONGEST - 8).contains(&frame.len()) {
                    *frame = ip::extended(frame, *number);
                }
            }
            Self::Length => set_length(frame),
        }
    }
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = frame.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn set_length(frame: &mut [u8]) {
    if frame.len() >= v6::LEN && frame[12..ETH_LEN] == [0x86, 0xdd] {
        let len = u16::try_from(frame.len() - v6::LEN).expect("a short frame");
        put(frame, v6::PAYLOAD_LEN, &len.to_be_bytes());
    }
}

/// A valid frame after up to four changes. Mostly with a right `ICMPv6` checksum: a wrong one hides
/// everything else.
pub fn frame() -> impl Strategy<Value = Vec<u8>> {
    let checksums = prop::bool::weighted(0.95);
    (select(valid()), vec(edit(), 0..5), checksums).prop_map(|(mut frame, edits, right)| {
        for edit in edits {
            edit.apply(&mut frame);
        }
        let is_icmpv6 = frame.get(12..ETH_LEN) == Some(&[0x86, 0xdd])
            && frame.get(v6::NEXT_HEADER) == Some(&number::ICMPV6);
        if right && is_icmpv6 {
            checksummed(frame)
        } else {
            frame
        }
    })
}

/// Mostly sent by the host itself.
pub fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        4 => Just(Origin::default()),
        1 => Just(Origin::RECEIVED),
        1 => Just(Origin::FORWARDED),
    ]
}

/// Mostly ready, and both copies alike.
pub fn config() -> impl Strategy<Value = [Config; 2]> {
    let ready = prop::bool::weighted(0.97);
    (ready, any::<[bool; SWITCHES.len()]>(), ready).prop_map(|(ready, on, same)| {
        let base = if ready {
            ConfigFlags::READY
        } else {
            ConfigFlags::default()
        };
        let flags = SWITCHES
            .into_iter()
            .zip(on)
            .filter(|(_, on)| *on)
            .fold(base, |flags, (switch, _)| flags | switch);
        let copy = Config::new(PARENT, flags);
        let other = if same {
            copy
        } else {
            Config::new(OTHER, flags)
        };
        [copy, other]
    })
}

/// One of every kind, children that hold what no child may and what lies beside it, and addresses of the host that
/// another link has, with the children that may not have them.
pub fn all_entries() -> Entries {
    let mut entries = entries();
    let odd = [
        [0, 0, 0, 0],
        [0, 0, 0, 7],
        [0, 255, 255, 255],
        [126, 255, 255, 255],
        [127, 0, 0, 1],
        [127, 255, 255, 255],
        [128, 0, 0, 0],
        [223, 255, 255, 255],
        [224, 0, 0, 5],
        [239, 255, 255, 255],
        [240, 0, 0, 1],
        [255, 255, 255, 254],
        [255, 255, 255, 255],
    ];
    let odd6 = [
        UNSPECIFIED6,
        LOOPBACK6,
        Ip6::from_bits(2),
        V4_MAPPED,
        Ip6::new(0, 0, 0, 0, 0, 0xfffe, 0xc000, 0x0201),
        Ip6::new(0, 0, 0, 0, 1, 0xffff, 0xc000, 0x0201),
        ALL_NODES,
        solicited_node(CHILD_IP6),
    ];
    entries.extend(odd.map(|address| (IpAddr::from(address), child(ODD_SLOT))));
    entries.extend(odd6.map(|address| (IpAddr::from(address), child(ODD_SLOT))));
    let host = AddressEntry::held_by(Owner::Host);
    entries.insert(
        [169, 254, 0, 1].into(),
        host.refused(Reason::TargetLinkLocal),
    );
    let barred = child(ODD_SLOT).with_barred();
    let of_other_links = [
        host.with_unwatched(),
        host.with_unwatched().refused(Reason::Tentative),
        host.refused(Reason::Probing),
        host.with_restricted(),
        host.with_unanswered(),
        barred,
        barred.with_routed(),
    ];
    for (number, entry) in (40..).zip(of_other_links) {
        // Its solicited-node group has none of the zeros that those of the other addresses have.
        let v6 = Ip6::new(0xfd00, 7, 0, 0, 0, 0, 0x12, 0x3400 + u16::from(number));
        entries.insert([192, 168, 7, number].into(), entry);
        entries.insert(v6.into(), entry);
    }
    entries
}
