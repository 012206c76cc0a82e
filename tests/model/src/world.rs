//! The parent and the addresses that the packet tests know.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Delivery, Owner, Reason};
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
/// Somebody else on the LAN.
pub const OTHER: Mac = [0x02, 0, 0, 0, 0x99, 0x0b];
pub const MULTICAST: Mac = [0x01, 0, 0x5e, 0, 0, 0x01];

/// What a request leaves open, and the sender of a probe.
pub const UNSPECIFIED: Ip = Ipv4Addr::UNSPECIFIED;
pub const LAN_IP: Ip = Ipv4Addr::new(192, 168, 7, 100);
/// Held by nobody here.
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
/// Refused until the LAN was asked (`--dad enforce`).
pub const PROBING_IP: Ip = Ipv4Addr::new(192, 168, 7, 21);
/// Refused since somebody on the LAN has it (`--dad enforce`).
pub const DUPLICATE_IP: Ip = Ipv4Addr::new(192, 168, 7, 22);

pub const UNSPECIFIED6: Ip6 = Ipv6Addr::UNSPECIFIED;
pub const LOOPBACK6: Ip6 = Ipv6Addr::LOCALHOST;
pub const LAN_IP6: Ip6 = on_link(0x100);
/// Held by nobody here.
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
    let local = AddressEntry::child(ifindex(LOCAL_SLOT), LOCAL_SLOT, Delivery::Redirect);
    let by_kernel = child(BY_KERNEL_SLOT).with_by_kernel();
    let down = child(DOWN_SLOT).refused(Reason::ChildDown);
    let claimed = child(CLAIMED_GATEWAY_SLOT).refused(Reason::GatewayAddress);
    let probing = child(PROBING_SLOT).refused(Reason::Probing);
    let duplicate = child(DUPLICATE_SLOT).refused(Reason::Duplicate);
    let v4 = [
        (HOST_IP, AddressEntry::held_by(Owner::Host)),
        (GATEWAY_IP, AddressEntry::held_by(Owner::Gateway)),
        (CHILD_IP, child(CHILD_SLOT)),
        (SIBLING_IP, child(SIBLING_SLOT)),
        (ROUTED_IP, child(ROUTED_SLOT).with_routed()),
        (OFF_LINK_IP, child(OFF_LINK_SLOT).with_off_link()),
        (LOCAL_IP, local),
        (BY_KERNEL_IP, by_kernel),
        (DOWN_IP, down),
        (CLAIMED_GATEWAY_IP, claimed),
        (PROBING_IP, probing),
        (DUPLICATE_IP, duplicate),
    ];
    let v6 = [
        (HOST_IP6, AddressEntry::held_by(Owner::Host)),
        (HOST_LL, AddressEntry::held_by(Owner::Host)),
        (GATEWAY_IP6, AddressEntry::held_by(Owner::Gateway)),
        (CHILD_IP6, child(CHILD_SLOT)),
        (CHILD_LL, child(CHILD_SLOT)),
        (SIBLING_IP6, child(SIBLING_SLOT)),
        (ROUTED_IP6, child(ROUTED_SLOT).with_routed()),
        (OFF_LINK_IP6, child(OFF_LINK_SLOT).with_off_link()),
        (LOCAL_IP6, local),
        (BY_KERNEL_IP6, by_kernel),
        (ROUTER_IP6, child(ROUTER_SLOT).with_router()),
        (OPTIMISTIC_IP6, child(OPTIMISTIC_SLOT).with_optimistic()),
        (DOWN_IP6, down),
        (CLAIMED_GATEWAY_IP6, claimed),
        (PROBING_IP6, probing),
        (DUPLICATE_IP6, duplicate),
    ];
    let v4 = v4.map(|(address, entry)| (IpAddr::from(address), entry));
    let v6 = v6.map(|(address, entry)| (IpAddr::from(address), entry));
    v4.into_iter().chain(v6).collect()
}
