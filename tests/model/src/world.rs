//! The parent and the addresses that the packet tests know.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipvlan_common::{
    AddressEntry, Config, ConfigFlags, Delivery, Event, EventKind, Hook, Owner, Reason,
};
pub use ipvlan_packet::{
    BROADCAST, Mac, ZERO,
    nd::{ALL_NODES, ALL_NODES_MAC, group_mac, solicited_node},
};

pub type Ip = Ipv4Addr;
pub type Ip6 = Ipv6Addr;
/// Both address maps.
pub type Entries = BTreeMap<IpAddr, AddressEntry>;

pub const PARENT: Mac = [0x02, 0, 0, 0, 0x34, 0x01];
/// A host on the LAN.
pub const LAN: Mac = [0x02, 0, 0, 0, 0x99, 0x0a];
/// Another host on the LAN.
pub const OTHER: Mac = [0x02, 0, 0, 0, 0x99, 0x0b];
pub const MULTICAST: Mac = [0x01, 0, 0x5e, 0, 0, 0x01];

/// The sender of a probe.
pub const UNSPECIFIED: Ip = Ipv4Addr::UNSPECIFIED;
pub const LAN_IP: Ip = Ipv4Addr::new(192, 168, 7, 100);
/// Unowned.
pub const FOREIGN_IP: Ip = Ipv4Addr::new(192, 168, 7, 77);
pub const HOST_IP: Ip = Ipv4Addr::new(192, 168, 7, 2);
pub const GATEWAY_IP: Ip = Ipv4Addr::new(192, 168, 7, 1);
pub const CHILD_IP: Ip = Ipv4Addr::new(192, 168, 7, 10);
pub const SIBLING_IP: Ip = Ipv4Addr::new(10, 0, 2, 10);
/// A child in a subnet of its own that the operator allowed.
pub const ROUTED_IP: Ip = Ipv4Addr::new(10, 0, 3, 10);
/// A child in a subnet of its own that the operator did not allow.
pub const OFF_LINK_IP: Ip = Ipv4Addr::new(10, 0, 4, 10);
/// A child in the parent's netns.
pub const LOCAL_IP: Ip = Ipv4Addr::new(192, 168, 7, 12);
/// An l2 child in the parent's netns: the kernel answers for it.
pub const BY_KERNEL_IP: Ip = Ipv4Addr::new(192, 168, 7, 13);
pub const DOWN_IP: Ip = Ipv4Addr::new(192, 168, 7, 20);
/// The second gateway's address, held by a child.
pub const CLAIMED_GATEWAY_IP: Ip = Ipv4Addr::new(192, 168, 7, 254);
/// Refused until it was probed for (`--dad enforce`).
pub const PROBING_IP: Ip = Ipv4Addr::new(192, 168, 7, 21);
/// Refused because a host on the LAN has it (`--dad enforce`).
pub const DUPLICATE_IP: Ip = Ipv4Addr::new(192, 168, 7, 22);

pub const UNSPECIFIED6: Ip6 = Ipv6Addr::UNSPECIFIED;
pub const LOOPBACK6: Ip6 = Ipv6Addr::LOCALHOST;
pub const LAN_IP6: Ip6 = on_link(0x100);
/// Unowned.
pub const FOREIGN_IP6: Ip6 = on_link(0x77);
/// The subnet-router anycast address of the link (RFC 4291 §2.6.1).
pub const ANYCAST_IP6: Ip6 = on_link(0);
pub const HOST_IP6: Ip6 = on_link(0x02);
pub const HOST_LL: Ip6 = link_local(0x3401);
pub const GATEWAY_IP6: Ip6 = link_local(0x01);
pub const CHILD_IP6: Ip6 = on_link(0x10);
pub const CHILD_LL: Ip6 = link_local(0x10);
/// As [`SIBLING_IP`]. Its solicited-node group is the child's too.
pub const SIBLING_IP6: Ip6 = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x10);
/// As [`ROUTED_IP`].
pub const ROUTED_IP6: Ip6 = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, 0x10);
/// As [`OFF_LINK_IP`].
pub const OFF_LINK_IP6: Ip6 = Ipv6Addr::new(0xfd00, 4, 0, 0, 0, 0, 0, 0x10);
pub const LOCAL_IP6: Ip6 = on_link(0x12);
pub const BY_KERNEL_IP6: Ip6 = on_link(0x13);
/// A child that forwards.
pub const ROUTER_IP6: Ip6 = on_link(0x14);
/// RFC 4429.
pub const OPTIMISTIC_IP6: Ip6 = on_link(0x15);
pub const DOWN_IP6: Ip6 = on_link(0x20);
pub const PROBING_IP6: Ip6 = on_link(0x21);
pub const DUPLICATE_IP6: Ip6 = on_link(0x22);
/// The second gateway's address, held by a child.
pub const CLAIMED_GATEWAY_IP6: Ip6 = link_local(0xfe);
/// `::ffff:192.0.2.1`
pub const V4_MAPPED: Ip6 = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201);

/// The addresses that both families have.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub unspecified: IpAddr,
    /// A group, and its MAC.
    pub group: IpAddr,
    pub group_mac: Mac,
    pub lan: IpAddr,
    pub foreign: IpAddr,
    pub host: IpAddr,
    pub gateway: IpAddr,
    pub child: IpAddr,
    pub sibling: IpAddr,
    pub routed: IpAddr,
    pub off_link: IpAddr,
    pub local: IpAddr,
    pub by_kernel: IpAddr,
    pub down: IpAddr,
    pub claimed_gateway: IpAddr,
    pub probing: IpAddr,
    pub duplicate: IpAddr,
}

const V4: Addresses = Addresses {
    unspecified: IpAddr::V4(UNSPECIFIED),
    group: IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)),
    group_mac: MULTICAST,
    lan: IpAddr::V4(LAN_IP),
    foreign: IpAddr::V4(FOREIGN_IP),
    host: IpAddr::V4(HOST_IP),
    gateway: IpAddr::V4(GATEWAY_IP),
    child: IpAddr::V4(CHILD_IP),
    sibling: IpAddr::V4(SIBLING_IP),
    routed: IpAddr::V4(ROUTED_IP),
    off_link: IpAddr::V4(OFF_LINK_IP),
    local: IpAddr::V4(LOCAL_IP),
    by_kernel: IpAddr::V4(BY_KERNEL_IP),
    down: IpAddr::V4(DOWN_IP),
    claimed_gateway: IpAddr::V4(CLAIMED_GATEWAY_IP),
    probing: IpAddr::V4(PROBING_IP),
    duplicate: IpAddr::V4(DUPLICATE_IP),
};

const V6: Addresses = Addresses {
    unspecified: IpAddr::V6(UNSPECIFIED6),
    group: IpAddr::V6(ALL_NODES),
    group_mac: ALL_NODES_MAC,
    lan: IpAddr::V6(LAN_IP6),
    foreign: IpAddr::V6(FOREIGN_IP6),
    host: IpAddr::V6(HOST_IP6),
    gateway: IpAddr::V6(GATEWAY_IP6),
    child: IpAddr::V6(CHILD_IP6),
    sibling: IpAddr::V6(SIBLING_IP6),
    routed: IpAddr::V6(ROUTED_IP6),
    off_link: IpAddr::V6(OFF_LINK_IP6),
    local: IpAddr::V6(LOCAL_IP6),
    by_kernel: IpAddr::V6(BY_KERNEL_IP6),
    down: IpAddr::V6(DOWN_IP6),
    claimed_gateway: IpAddr::V6(CLAIMED_GATEWAY_IP6),
    probing: IpAddr::V6(PROBING_IP6),
    duplicate: IpAddr::V6(DUPLICATE_IP6),
};

impl Addresses {
    /// Returns those of the family of `address`.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => V4,
            IpAddr::V6(_) => V6,
        }
    }
}

/// Returns the rows of a table that holds for both families.
pub fn both<R: IntoIterator>(rows: impl Fn(Addresses) -> R) -> impl Iterator<Item = R::Item> {
    [V4, V6].into_iter().flat_map(rows)
}

/// `fd00:7::/64`
const fn on_link(host: u16) -> Ip6 {
    Ipv6Addr::new(0xfd00, 7, 0, 0, 0, 0, 0, host)
}

const fn link_local(host: u16) -> Ip6 {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host)
}

pub const CHILD_SLOT: u32 = 1;
pub const SIBLING_SLOT: u32 = 2;
pub const LOCAL_SLOT: u32 = 3;
pub const DOWN_SLOT: u32 = 4;
pub const CLAIMED_GATEWAY_SLOT: u32 = 5;
/// A child that holds an address no child may hold.
pub const ODD_SLOT: u32 = 6;
pub const BY_KERNEL_SLOT: u32 = 7;
pub const ROUTER_SLOT: u32 = 8;
pub const OPTIMISTIC_SLOT: u32 = 9;
pub const PROBING_SLOT: u32 = 10;
pub const DUPLICATE_SLOT: u32 = 11;
pub const ROUTED_SLOT: u32 = 12;
pub const OFF_LINK_SLOT: u32 = 13;
/// Slots that any test uses lie below this.
pub const SLOTS: u32 = 14;

/// Mode l3 or l3s.
pub const L3: ConfigFlags = ConfigFlags::READY;

/// Mode l2 as `--l2-broadcast filter` sets it up.
pub fn l2_filter() -> ConfigFlags {
    ConfigFlags::READY
        | ConfigFlags::L2
        | ConfigFlags::L2_DROP_FOREIGN
        | ConfigFlags::L2_DROP_FOREIGN_ND
}

/// Mode l2 as `--l2-broadcast flood` sets it up.
pub fn l2_flood() -> ConfigFlags {
    ConfigFlags::READY | ConfigFlags::L2 | ConfigFlags::L2_FLOOD
}

/// Mode l3 with isolation `private`.
pub fn l3_private() -> ConfigFlags {
    L3 | ConfigFlags::ISOLATED
}

/// Mode l3 with isolation `vepa`.
pub fn l3_vepa() -> ConfigFlags {
    l3_private() | ConfigFlags::VEPA
}

/// What the agent can say of a parent beside that it is ready.
pub const SWITCHES: [ConfigFlags; 9] = [
    ConfigFlags::L2,
    ConfigFlags::L2_FLOOD,
    ConfigFlags::L2_DROP_FOREIGN,
    ConfigFlags::L2_DROP_FOREIGN_ND,
    ConfigFlags::ISOLATED,
    ConfigFlags::VEPA,
    ConfigFlags::CHILD_IIF,
    ConfigFlags::VRF,
    ConfigFlags::DHCP,
];

pub fn config(flags: ConfigFlags) -> [Config; 2] {
    [Config::new(PARENT, flags); 2]
}

/// Returns the event that the station with this MAC causes with an address of the child in `slot`.
pub const fn event(kind: EventKind, hook: Hook, mac: Mac, address: IpAddr, slot: u32) -> Event {
    match address {
        IpAddr::V4(address) => Event::ipv4(kind, hook, mac, address.octets(), slot),
        IpAddr::V6(address) => Event::ipv6(kind, hook, mac, address.octets(), slot),
    }
}

/// Target of the packets that are redirected.
pub const LOCAL_TARGET: u32 = 99;

/// Interface index, in its own netns, of the child counted in `slot`.
pub const fn ifindex(slot: u32) -> u32 {
    10 + slot
}

/// A child answered for, in another netns.
pub const fn child(slot: u32) -> AddressEntry {
    AddressEntry::child(ifindex(slot), slot, Delivery::Pass)
}

/// One address of every kind, in both families where there are both.
pub fn entries() -> Entries {
    let local = AddressEntry::child(
        ifindex(LOCAL_SLOT),
        LOCAL_SLOT,
        Delivery::Redirect(LOCAL_TARGET),
    );
    let by_kernel = child(BY_KERNEL_SLOT).with_by_kernel();
    let down = child(DOWN_SLOT).refused(Reason::ChildDown);
    let claimed = child(CLAIMED_GATEWAY_SLOT).refused(Reason::GatewayAddress);
    let probing = child(PROBING_SLOT).refused(Reason::Probing);
    let duplicate = child(DUPLICATE_SLOT).refused(Reason::Duplicate);
    let both = both(|at| {
        [
            (at.host, AddressEntry::held_by(Owner::Host)),
            (at.gateway, AddressEntry::held_by(Owner::Gateway)),
            (at.child, child(CHILD_SLOT)),
            (at.sibling, child(SIBLING_SLOT)),
            (at.routed, child(ROUTED_SLOT).with_routed()),
            (at.off_link, child(OFF_LINK_SLOT).with_off_link()),
            (at.local, local),
            (at.by_kernel, by_kernel),
            (at.down, down),
            (at.claimed_gateway, claimed),
            (at.probing, probing),
            (at.duplicate, duplicate),
        ]
    });
    let v6 = [
        (HOST_LL, AddressEntry::held_by(Owner::Host)),
        (CHILD_LL, child(CHILD_SLOT)),
        (ROUTER_IP6, child(ROUTER_SLOT).with_router()),
        (OPTIMISTIC_IP6, child(OPTIMISTIC_SLOT).with_optimistic()),
    ];
    let v6 = v6.map(|(address, entry)| (IpAddr::from(address), entry));
    both.chain(v6).collect()
}
