//! The parent and the addresses that the packet tests know.

use std::collections::BTreeMap;

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Delivery, Owner, Reason};

pub type Mac = [u8; 6];
pub type Ip = [u8; 4];
pub type Entries = BTreeMap<Ip, AddressEntry>;

pub const PARENT: Mac = [0x02, 0, 0, 0, 0x34, 0x01];
/// A host on the LAN.
pub const LAN: Mac = [0x02, 0, 0, 0, 0x99, 0x0a];
/// Somebody else on the LAN.
pub const OTHER: Mac = [0x02, 0, 0, 0, 0x99, 0x0b];
pub const BROADCAST: Mac = [0xff; 6];
pub const MULTICAST: Mac = [0x01, 0, 0x5e, 0, 0, 0x01];
pub const ZERO: Mac = [0; 6];

/// What a request leaves open, and the sender of a probe.
pub const UNSPECIFIED: Ip = [0; 4];
pub const LAN_IP: Ip = [192, 168, 7, 100];
/// Held by nobody here.
pub const FOREIGN_IP: Ip = [192, 168, 7, 77];
pub const HOST_IP: Ip = [192, 168, 7, 2];
pub const GATEWAY_IP: Ip = [192, 168, 7, 1];
pub const CHILD_IP: Ip = [192, 168, 7, 10];
pub const SIBLING_IP: Ip = [10, 0, 2, 10];
/// A child in the parent's netns.
pub const LOCAL_IP: Ip = [192, 168, 7, 12];
/// An l2 child in the parent's netns: the kernel answers for it.
pub const BY_KERNEL_IP: Ip = [192, 168, 7, 13];
pub const DOWN_IP: Ip = [192, 168, 7, 20];
/// The second gateway's address, held by a child.
pub const CLAIMED_GATEWAY_IP: Ip = [192, 168, 7, 254];

pub const CHILD_SLOT: u32 = 1;
pub const SIBLING_SLOT: u32 = 2;
pub const LOCAL_SLOT: u32 = 3;
pub const DOWN_SLOT: u32 = 4;
pub const CLAIMED_GATEWAY_SLOT: u32 = 5;
/// A child that holds an address no child may hold.
pub const ODD_SLOT: u32 = 6;
pub const BY_KERNEL_SLOT: u32 = 7;
/// Slots that any test uses lie below this.
pub const SLOTS: u32 = 8;

/// Mode l3 or l3s.
pub const L3: ConfigFlags = ConfigFlags::READY;

/// Mode l2 as `--l2-broadcast filter` sets it up.
pub fn l2_filter() -> ConfigFlags {
    ConfigFlags::READY | ConfigFlags::L2 | ConfigFlags::L2_DROP_FOREIGN
}

/// Mode l2 as `--l2-broadcast flood` sets it up.
pub fn l2_flood() -> ConfigFlags {
    ConfigFlags::READY | ConfigFlags::L2 | ConfigFlags::L2_FLOOD
}

pub fn config(flags: ConfigFlags) -> [Config; 2] {
    [Config::new(PARENT, flags); 2]
}

/// A child answered for, in another netns.
pub const fn child(slot: u32) -> AddressEntry {
    AddressEntry::child(10 + slot, slot, Delivery::Pass)
}

/// One address of every kind.
pub fn entries() -> Entries {
    Entries::from([
        (HOST_IP, AddressEntry::held_by(Owner::Host)),
        (GATEWAY_IP, AddressEntry::held_by(Owner::Gateway)),
        (CHILD_IP, child(CHILD_SLOT)),
        (SIBLING_IP, child(SIBLING_SLOT)),
        (
            LOCAL_IP,
            AddressEntry::child(13, LOCAL_SLOT, Delivery::Redirect),
        ),
        (BY_KERNEL_IP, child(BY_KERNEL_SLOT).with_by_kernel()),
        (DOWN_IP, child(DOWN_SLOT).refused(Reason::ChildDown)),
        (
            CLAIMED_GATEWAY_IP,
            child(CLAIMED_GATEWAY_SLOT).refused(Reason::GatewayAddress),
        ),
    ])
}
