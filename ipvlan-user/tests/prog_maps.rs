//! Sync against the maps of the kernel: what is desired of both families is what they hold.

#![expect(
    clippy::unwrap_used,
    reason = "a test panics when its surroundings fail it"
)]

use std::{collections::BTreeMap, net::IpAddr};

use aya::{
    EbpfLoader,
    maps::{Array, HashMap, Map, MapData, loaded_maps},
};
use ipvlan_common::{
    AddressEntry, ConfigFlags, Delivery, Owner,
    index::{SlotV4, index_v4, is_about_v4},
    maps,
};
use ipvlan_user::{
    OBJECT,
    facts::{Child, ChildAddress, Host, HostAddress, Kind, Link, Mode, NetnsId, Port, Snapshot},
    maps::{Maps, apply::Installed},
    model::{Desired, Policy, desired},
};

const PARENT: u32 = 2;
const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// Empty maps for so many addresses of each family.
fn empty_maps(max_addresses: u32) -> Maps {
    assert!(!OBJECT.is_empty(), "built without the eBPF object");
    let mut loader = EbpfLoader::new();
    for name in [maps::ADDRESSES_V4, maps::ADDRESSES_V6] {
        loader.map_max_entries(name, max_addresses);
    }
    Maps::take(&mut loader.load(OBJECT).unwrap()).unwrap()
}

/// The maps of a parent that no agent has served.
fn installed(max_addresses: u32) -> Installed {
    Installed::new(empty_maps(max_addresses), 16)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What an l2 child with these addresses on a host with [`HOST`] asks for.
fn of_child(addresses: &[String]) -> Desired {
    of_children(&[addresses], &Policy::default())
}

/// The same of a child each in netns of their own.
fn of_children(children: &[&[String]], policy: &Policy) -> Desired {
    let parent = Link {
        ifindex: PARENT,
        mac: Some([2, 0, 0, 0, 0, 1]),
        up: true,
        forwarding: true,
        ..Link::default()
    };
    let snapshot = Snapshot {
        host: Host {
            addresses: HOST
                .map(|text| HostAddress {
                    address: address(text),
                    prefix_len: 24,
                    ifindex: PARENT,
                    flags: 0,
                    scope: 0,
                })
                .into(),
            ..Host::default()
        },
        links: vec![parent.clone()],
        children: (1..)
            .zip(children)
            .map(|(nsid, addresses)| Child {
                ifindex: 7,
                netns: NetnsId::Nsid(nsid),
                parent_ifindex: PARENT,
                kind: Kind::Ipvlan(Port {
                    mode: Mode::L2,
                    ..Port::default()
                }),
                up: true,
                addresses: addresses
                    .iter()
                    .map(|text| ChildAddress {
                        local: address(text),
                        peer: None,
                        prefix_len: 32,
                        scope: 0,
                        flags: 0,
                    })
                    .collect(),
                ..Child::default()
            })
            .collect(),
        ..Snapshot::default()
    };
    desired(&snapshot, &parent, policy, &BTreeMap::new())
}

/// So many addresses of a prefix of each family.
fn of_each_family(prefixes: [&str; 2], count: usize) -> Vec<String> {
    (1..=count)
        .flat_map(|last| prefixes.map(|prefix| format!("{prefix}{last}")))
        .collect()
}

#[test]
fn addresses_of_both_families_are_written_and_removed() {
    let mut installed = installed(16);
    let mut held_before = 0;
    for texts in [
        &[][..],
        &["192.0.2.7", "2001:db8::7", "fe80::7"],
        &["2001:db8::7"],
        &["192.0.2.7"],
    ] {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let desired = of_child(&texts);
        let outcome = installed.update(&desired);
        assert!(outcome.errors.is_empty() && outcome.no_room.is_empty());
        let held = installed.maps().addresses().unwrap();
        let wanted: BTreeMap<IpAddr, AddressEntry> = desired
            .addresses
            .iter()
            .map(|(&address, wanted)| (address, wanted.entry(|_| 0)))
            .collect();
        assert_eq!(held, wanted);
        assert_eq!(held.len(), HOST.len() + texts.len());
        assert_eq!(held_before + outcome.put - outcome.removed, held.len());
        held_before = held.len();
        assert_eq!(installed.maps().config().unwrap(), desired.config);

        let again = installed.update(&desired);
        assert_eq!((again.put, again.removed), (0, 0));
        assert_eq!(installed.audit().unwrap(), 0);
    }
    let host = installed.maps().addresses().unwrap()[&address(HOST[1])];
    assert_eq!((host.owner(), host.router()), (Some(Owner::Host), true));
}

#[test]
fn ten_thousand_addresses_of_each_family_are_read_back() {
    // One netns gets three quarters of a map.
    let mut installed = installed(14_000);
    let texts: Vec<String> = (0..10_000)
        .flat_map(|index| {
            let (high, low) = (index / 250, index % 250);
            [
                format!("10.1.{high}.{low}"),
                format!("2001:db8:1:{high}::{low}"),
            ]
        })
        .collect();
    let desired = of_child(&texts);
    assert_eq!(desired.addresses.len(), HOST.len() + 20_000);
    assert!(installed.update(&desired).errors.is_empty());
    let started = std::time::Instant::now();
    assert_eq!(installed.audit().unwrap(), 0);
    println!("read back and compared in {:?}", started.elapsed());
    assert_eq!(
        installed.maps().addresses().unwrap().len(),
        desired.addresses.len()
    );
}

#[test]
fn a_full_map_of_one_family_leaves_the_other_alone_and_drops_nothing_foreign() {
    const ROOM: u32 = 4;
    let drops = |installed: &Installed| {
        let config = installed.maps().config().unwrap();
        [
            ConfigFlags::L2_DROP_FOREIGN,
            ConfigFlags::L2_DROP_FOREIGN_ND,
        ]
        .map(|flag| config.has(flag))
    };
    let mut installed = installed(ROOM);
    let few: Vec<String> = (1..4).map(|n| format!("192.0.2.{}", 10 + n)).collect();
    let many: Vec<String> = (0..6).map(|n| format!("2001:db8::1{n}")).collect();
    let outcome = installed.update(&of_child(&[few.clone(), many.clone()].concat()));
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    // The host's address has one of the four.
    assert_eq!(outcome.no_room.len(), many.len() + 1 - ROOM as usize);
    assert!(outcome.no_room.iter().all(IpAddr::is_ipv6));
    let held = installed.maps().addresses().unwrap();
    assert!(few.iter().all(|text| held.contains_key(&address(text))));
    assert_eq!(held.len(), 2 * ROOM as usize);
    assert_eq!(drops(&installed), [false, false]);

    // What goes makes room.
    let outcome = installed.update(&of_child(&[few, many[..3].to_vec()].concat()));
    assert_eq!(outcome.no_room.len(), 0);
    assert_eq!(
        installed.maps().addresses().unwrap().len(),
        2 * ROOM as usize
    );
    assert_eq!(drops(&installed), [true, true]);
}

#[test]
fn refused_addresses_take_no_room_in_fresh_or_adopted_maps() {
    const ROOM: usize = 64;
    // They sort before the host's address and the other child's.
    let refused = of_each_family(["10.0.0.", "2001:db7::"], 200);
    let allowed = of_each_family(["192.0.2.1", "2001:db8::1"], 9);
    let policy = Policy {
        allow: vec![
            "192.0.2.0/24".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ],
        ..Policy::default()
    };
    let desired = of_children(&[&refused, &allowed], &policy);
    let hostile_first = of_children(&[&refused, &[]], &policy);
    for before in [None, Some(&hostile_first)] {
        let mut installed = installed(u32::try_from(ROOM).unwrap());
        if let Some(before) = before {
            installed.update(before);
        }
        let outcome = installed.update(&desired);
        assert!(outcome.errors.is_empty() && outcome.no_room.is_empty());
        let held = installed.maps().addresses().unwrap();
        assert_eq!(held.len(), 2 * ROOM);
        let host = HOST.map(str::to_owned);
        for text in host.iter().chain(&allowed) {
            assert!(held.contains_key(&address(text)), "{text}");
        }
        assert_eq!(installed.answered(), allowed.len());
        let config = installed.maps().config().unwrap();
        assert!(config.has(ConfigFlags::L2_DROP_FOREIGN | ConfigFlags::L2_DROP_FOREIGN_ND));
        assert_eq!(installed.audit().unwrap(), 0);
    }
}

#[test]
fn adopted_entries_that_no_child_claims_stay_while_a_netns_is_unread() {
    let [claimed, unclaimed, of_host] = ["192.0.2.9", "2001:db8::9", "192.0.2.77"].map(address);
    let child = AddressEntry::child(7, 0, Delivery::Pass);
    let before = [
        (claimed, child),
        (unclaimed, child),
        (of_host, AddressEntry::held_by(Owner::Host)),
    ];
    let with_child = of_child(&[claimed.to_string()]);
    let without = of_child(&[]);
    for keep in [true, false] {
        let mut maps = empty_maps(64);
        assert!(maps.put(&before).is_empty());
        let mut installed = Installed::adopt(maps, 16).unwrap();
        installed.keep_unclaimed(keep);
        let held = |installed: &Installed, address| {
            installed.maps().addresses().unwrap().contains_key(&address)
        };
        installed.update(&with_child);
        assert!(held(&installed, claimed));
        assert_eq!(held(&installed, unclaimed), keep);
        assert!(!held(&installed, of_host), "the host no longer has it");
        // What a child claimed goes with it, also while another netns is unread.
        installed.update(&without);
        assert!(!held(&installed, claimed));
        assert_eq!(held(&installed, unclaimed), keep);
        assert_eq!(installed.audit().unwrap(), 0);
        installed.keep_unclaimed(false);
        installed.update(&without);
        assert!(!held(&installed, unclaimed));
    }
}

#[test]
fn answered_counts_what_is_in_the_maps_and_the_next_in_line_takes_the_room_of_one_that_goes() {
    const ROOM: usize = 16;
    let first = of_each_family(["192.0.2.1", "2001:db8::1"], 9);
    let second = of_each_family(["192.0.2.2", "2001:db8::2"], 9);
    let mut installed = installed(u32::try_from(ROOM).unwrap());
    installed.update(&of_children(&[&first, &second], &Policy::default()));
    assert_eq!(
        installed.answered(),
        2 * (ROOM - 1),
        "the host has one of each"
    );
    let outcome = installed.update(&of_children(&[&first[2..], &second], &Policy::default()));
    assert_eq!((outcome.put, outcome.removed), (2, 2));
    assert_eq!(installed.answered(), 2 * (ROOM - 1));
    assert_eq!(installed.established().len(), 2 * (ROOM - 1));
    let outcome = installed.update(&of_children(&[&first[..4], &second], &Policy::default()));
    assert!(outcome.no_room.is_empty());
    assert_eq!(installed.answered(), 4 + second.len());
}

#[test]
fn an_audit_finds_what_another_process_changed_in_either_map() {
    let sentinels = ["203.0.113.77", "2001:db8:77:77:77:77:77:77"];
    let mut installed = installed(16);
    let desired = of_child(&sentinels.map(str::to_owned));
    installed.update(&desired);
    forget::<4>(maps::ADDRESSES_V4, sentinels[0]);
    assert_eq!(installed.audit().unwrap(), 1);
    forget::<16>(maps::ADDRESSES_V6, sentinels[1]);
    assert_eq!(installed.audit().unwrap(), 1);
    let outcome = installed.update(&desired);
    assert_eq!((outcome.put, outcome.removed), (2, 0));
    assert_eq!(installed.audit().unwrap(), 0);
    overwrite_slot(sentinels[0]);
    assert_eq!(installed.audit().unwrap(), 1);
    assert_eq!(installed.audit().unwrap(), 0, "it is mended at once");
}

/// Makes the one index that knows this address say that somebody else has it.
fn overwrite_slot(text: &str) {
    let IpAddr::V4(v4) = address(text) else {
        unreachable!("an IPv4 address")
    };
    let at = index_v4(v4.octets());
    let overwritten = loaded_maps()
        .flatten()
        .filter(|info| info.name_as_str() == Some(maps::INDEX_V4))
        .filter_map(|info| MapData::from_id(info.id()).ok())
        .filter_map(|data| Array::<_, SlotV4>::try_from(Map::Array(data)).ok())
        .filter_map(|mut index| {
            let [state, first] = index.get(&at, 0).ok()?;
            is_about_v4(state, v4.octets()).then(|| index.set(at, [state, first + 1], 0).unwrap())
        })
        .count();
    assert_eq!(overwritten, 1, "{text}");
}

/// Deletes an address behind the agent's back, in the one map of this name that has it.
fn forget<const N: usize>(name: &str, text: &str)
where
    [u8; N]: aya::Pod,
{
    let octets = match address(text) {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let key = <[u8; N]>::try_from(octets).unwrap();
    let forgotten = loaded_maps()
        .flatten()
        .filter(|info| info.name_as_str() == Some(name))
        // Other tests' maps come and go.
        .filter_map(|info| MapData::from_id(info.id()).ok())
        .filter_map(|data| HashMap::<_, [u8; N], AddressEntry>::try_from(Map::HashMap(data)).ok())
        .filter_map(|mut map| map.remove(&key).ok())
        .count();
    assert_eq!(forgotten, 1, "{text}");
}

#[test]
fn the_events_are_given_to_the_first_caller() {
    let mut installed = installed(16);
    let mut events = installed.take_events().unwrap();
    assert!(events.next().is_none(), "nothing has happened");
    assert!(installed.take_events().is_none());
}
