//! What must change in the address maps. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use ipvlan_common::AddressEntry;

/// Contents of the address maps of both families.
pub type Addresses = BTreeMap<IpAddr, AddressEntry>;

/// Changes that turn one set of contents into another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Addresses to delete.
    pub remove: Vec<IpAddr>,
    /// Addresses to add or change.
    pub put: Vec<(IpAddr, AddressEntry)>,
}

impl Plan {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.put.is_empty()
    }
}

/// The changes that turn `installed` into `desired`.
#[must_use]
pub fn diff(installed: &Addresses, desired: &Addresses) -> Plan {
    Plan {
        remove: installed
            .keys()
            .filter(|address| !desired.contains_key(address))
            .copied()
            .collect(),
        put: desired
            .iter()
            .filter(|(address, entry)| installed.get(address) != Some(entry))
            .map(|(&address, &entry)| (address, entry))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use ipvlan_common::{Delivery, Owner, Reason};
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    fn entry() -> impl Strategy<Value = AddressEntry> {
        prop_oneof![
            Just(AddressEntry::held_by(Owner::Host)),
            (1..4_u32, 0..4_u32).prop_map(|(ifindex, slot)| AddressEntry::child(
                ifindex,
                slot,
                Delivery::Pass
            )),
            (1..4_u32).prop_map(|ifindex| {
                AddressEntry::child(ifindex, 0, Delivery::Pass).refused(Reason::ChildDown)
            }),
        ]
    }

    fn addresses() -> impl Strategy<Value = Addresses> {
        let address = prop_oneof![
            (0..8_u32).prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))),
            (0..8_u128).prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))),
        ];
        btree_map(address, entry(), 0..16)
    }

    proptest! {
        #[test]
        fn applied_diff_gives_what_was_desired(installed in addresses(), desired in addresses()) {
            let plan = diff(&installed, &desired);
            let mut map = installed.clone();
            for address in &plan.remove {
                prop_assert!(map.remove(address).is_some());
            }
            for &(address, entry) in &plan.put {
                prop_assert_ne!(map.insert(address, entry), Some(entry));
            }
            prop_assert_eq!(&map, &desired);
            prop_assert!(diff(&map, &desired).is_empty());
        }
    }
}
