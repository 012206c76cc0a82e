use ipvlan_common::ConfigFlags;
use proptest::prelude::*;

use super::{
    super::{address, link, nexthop, nsid_row as nsid, route},
    *,
};
use crate::model::{Policy, desired};

#[test]
fn without_faults_every_netns_shows_as_it_is() {
    a_fault_in_one_netns_stays_there(&[]);
    a_fault_in_one_netns_stays_there(&[0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1]);
}

#[test]
fn every_kind_of_fault_at_every_datagram_stays_in_its_netns() {
    for way in 0..5 {
        for kind in 0..8 {
            for datagram in 0..4 {
                let errnos = [1, 4, 11, 19, 22, 90, 105];
                let has_errno = [5, 7].contains(&kind);
                for errno in errnos.into_iter().filter(|&errno| has_errno || errno == 1) {
                    a_fault_in_one_netns_stays_there(&[
                        way, 3, kind, datagram, errno, 0, 1, 0, 0, 0, 0, 1,
                    ]);
                }
            }
        }
    }
}

#[test]
fn a_fault_of_our_own_netns_is_an_error_and_changes_nothing() {
    let world = Arc::new(Mutex::new(World::new()));
    let mut discover = discover(&world);
    let first = discover.first(Scope::KnownNetns, Duration::ZERO);
    let (mut snapshot, _) = first.expect("first");
    let before = snapshot.clone();
    let faults = [(4, 0), (5, 5), (6, 0), (7, 11)];
    for (kind, errno) in faults {
        let fault = Fault::new(kind, 0, errno);
        locked(&world).faults.insert(OWN, fault);
        let parts = BTreeMap::from([(NetnsId::Own, Part::Links), (NetnsId::Nsid(1), Part::Links)]);
        locked(&world).netnses.get_mut(&1).expect("netns 1")[1]
            .addresses
            .clear();
        assert!(discover.renew(&mut snapshot, &parts, None).is_err());
        let all = discover.renew_all(&mut snapshot, Scope::KnownNetns, None);
        assert!(all.is_err());
        assert_eq!(snapshot, before);
    }
}

/// An l2 child's own kernel answers for addresses that the agent cannot read.
#[test]
fn requests_for_unknown_addresses_are_dropped_only_while_every_netns_can_be_read() {
    for way in 1..5 {
        let world = Arc::new(Mutex::new(World::new()));
        let mut discover = discover(&world);
        let all: BTreeMap<NetnsId, Part> = (1..5)
            .map(|nsid| (NetnsId::Nsid(nsid), Part::Links))
            .collect();
        let drops = |snapshot: &Snapshot| {
            let parent = snapshot.link(PARENT).unwrap();
            let desired = desired(snapshot, parent, &Policy::default(), &BTreeMap::new());
            let [arp, nd] = [
                ConfigFlags::L2_DROP_FOREIGN,
                ConfigFlags::L2_DROP_FOREIGN_ND,
            ]
            .map(|flag| desired.config.has(flag));
            assert_eq!(arp, nd);
            arp
        };
        let fail = |is_faulty: bool| {
            let fault = Fault::Fail {
                datagram: 0,
                errno: 22,
            };
            locked(&world).faults = is_faulty.then_some((2, fault)).into_iter().collect();
        };
        fail(true);
        let first = discover.first(Scope::KnownNetns, Duration::ZERO);
        let (mut snapshot, _) = first.unwrap();
        assert!(!drops(&snapshot), "way {way}: it was never read");
        snapshot.give_up_unread();
        read(&mut discover, &mut snapshot, &all, way);
        assert!(!drops(&snapshot), "way {way}: it was still never read");
        fail(false);
        read(&mut discover, &mut snapshot, &all, 1);
        assert!(drops(&snapshot), "way {way}: all is read");
        fail(true);
        read(&mut discover, &mut snapshot, &all, way);
        assert!(!drops(&snapshot), "way {way}: it may have new addresses");
        fail(false);
        // After a failure links are read, whatever was to be read before.
        let way = if way == 3 { 1 } else { way };
        read(&mut discover, &mut snapshot, &all, way);
        assert!(drops(&snapshot), "way {way}: all is read again");
    }
}

#[test]
fn a_cut_row_is_malformed() {
    type IsRow = fn(&[u8]) -> bool;
    // A header, an attribute of four bytes, and whether bytes are a row.
    let rows: [(&[u8], u8, IsRow); 5] = [
        (&[0; 16], 4, |bytes| link::decode_link(bytes).is_ok()),
        (&[2, 24, 0, 0, 7, 0, 0, 0], 2, |bytes| {
            address::decode_address(bytes).is_ok_and(|row| row.is_some())
        }),
        (&[2, 24, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0], 4, |bytes| {
            route::decode_route(bytes).is_ok()
        }),
        (&[0; 8], 1, |bytes| nexthop::decode_next_hop(bytes).is_ok()),
        (&[0; 4], 1, |bytes| nsid::decode_nsid(bytes).is_ok()),
    ];
    for (header, attribute, is_row) in rows {
        let row = [header, &[8, 0, attribute, 0], &[192, 0, 2, 1]].concat();
        assert!(is_row(&row), "{row:x?}");
        for length in (0..row.len()).filter(|&length| length != header.len()) {
            assert!(!is_row(&row[..length]), "{length} of {row:x?}");
        }
    }
}

#[test]
fn reading_stops_at_the_quota_of_a_netns() {
    let world = Arc::new(Mutex::new(World::new()));
    let mut discover = discover(&world);
    discover.set_quota(|_| 4);
    let first = discover.first(Scope::KnownNetns, Duration::ZERO);
    let (snapshot, renewed) = first.expect("first");
    assert_eq!(renewed.over_quota, [2, 3].map(NetnsId::Nsid).into());
    assert_eq!(snapshot.children_of(NetnsId::Nsid(2))[0].addresses.len(), 4);
    assert_eq!(snapshot.children_of(NetnsId::Nsid(3)).len(), 4);
    let children = snapshot.children.iter();
    for child in children {
        assert_eq!(child.over_quota, child.netns != NetnsId::Nsid(1));
    }
    check(&world, &snapshot, &[1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn faults_of_any_kind_in_any_order_stay_in_their_netns(
        script in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        a_fault_in_one_netns_stays_there(&script);
    }

    #[test]
    fn any_bytes_are_a_row_or_malformed(bytes: Vec<u8>) {
        // It must not panic.
        decode(&bytes);
    }
}
