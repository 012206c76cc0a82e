use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn station_has_an_address_without_an_owner_of_the_family_of_the_target() {
    let owned = |texts: &[&str]| -> Addresses {
        let entry = AddressEntry::held_by(Owner::Host);
        texts.iter().map(|text| (address(text), entry)).collect()
    };
    for (target, of_host, expected) in [
        ("10.0.0.1", &[][..], "192.0.2.1"),
        ("192.0.2.1", &[], "192.0.2.2"),
        ("10.0.0.1", &["192.0.2.1", "192.0.2.2"], "192.0.2.3"),
        ("fe80::1", &["192.0.2.1"], "2001:db8:ffff::1"),
        ("fe80::1", &["2001:db8:ffff::1"], "2001:db8:ffff::2"),
    ] {
        let sender = unowned(address(target), &owned(of_host));
        assert_eq!(sender, Some(address(expected)), "{target}");
    }
    let entry = AddressEntry::held_by(Owner::Host);
    let all = |number: u16| Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, number).into();
    let all: Addresses = (1..=u16::MAX).map(|number| (all(number), entry)).collect();
    assert_eq!(unowned(address("fe80::1"), &all), None);
}

/// Counters before and after, verdict, entry, reason.
type Row<'a> = (
    &'a [(Reason, u64)],
    &'a [(Reason, u64)],
    Verdict,
    Option<AddressEntry>,
    Option<Reason>,
);

#[test]
fn reason_is_the_one_that_was_counted_with_the_verdict_or_that_of_the_entry() {
    use Reason::{ArpAnswered, ChildDown, Denied, ForeignDropped, NotOurs, Probe};
    let counters = |of: &[(Reason, u64)]| of.iter().copied().collect::<BTreeMap<_, _>>();
    let denied = AddressEntry::child(7, 0, ipvlan_common::Delivery::Pass).refused(Denied);
    let rows: [Row; 7] = [
        (
            &[],
            &[(ArpAnswered, 1)],
            Verdict::Answered,
            None,
            Some(ArpAnswered),
        ),
        (
            &[(ArpAnswered, 5), (NotOurs, 3)],
            &[(ArpAnswered, 6), (NotOurs, 4)],
            Verdict::Passed,
            None,
            Some(NotOurs),
        ),
        (&[(Probe, 1)], &[(Probe, 1)], Verdict::Passed, None, None),
        (
            &[],
            &[(Denied, 1), (NotOurs, 9)],
            Verdict::Passed,
            Some(denied),
            Some(Denied),
        ),
        (
            &[],
            &[(ChildDown, 1), (NotOurs, 9)],
            Verdict::Passed,
            None,
            None,
        ),
        (
            &[],
            &[(ChildDown, 1), (NotOurs, 9)],
            Verdict::Passed,
            Some(denied),
            None,
        ),
        (
            &[],
            &[(ForeignDropped, 1)],
            Verdict::Dropped,
            None,
            Some(ForeignDropped),
        ),
    ];
    for (before, after, verdict, entry, expected) in rows {
        let counted = counted(&counters(before), &counters(after), verdict);
        let reason = single(&counted, entry.as_ref());
        assert_eq!(reason, expected, "{before:?} {after:?}");
    }
}
