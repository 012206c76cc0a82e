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

/// The same where only some addresses may differ, and what is desired of each of them.
#[must_use]
pub fn diff_of(
    installed: &Addresses,
    desired: impl IntoIterator<Item = (IpAddr, Option<AddressEntry>)>,
) -> Plan {
    let mut plan = Plan::default();
    for (address, desired) in desired {
        match (installed.get(&address), desired) {
            (Some(_), None) => plan.remove.push(address),
            (held, Some(entry)) if held != Some(&entry) => plan.put.push((address, entry)),
            _ => {}
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use ipvlan_common::{Delivery, Owner, Reason};
    use std::{
        collections::BTreeSet,
        net::{Ipv4Addr, Ipv6Addr},
    };

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

        #[test]
        fn some_addresses_differ_as_they_do_among_all(
            installed in addresses(),
            desired in addresses(),
        ) {
            let all: BTreeSet<IpAddr> = installed.keys().chain(desired.keys()).copied().collect();
            let of_each = all.iter().map(|address| (*address, desired.get(address).copied()));
            prop_assert_eq!(diff_of(&installed, of_each), diff(&installed, &desired));
        }
    }
}
