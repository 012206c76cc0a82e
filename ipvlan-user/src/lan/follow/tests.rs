use ipvlan_common::Reason;

use super::*;
use crate::{
    facts::Child,
    model::{
        Policy, desired,
        tests::{child, ipvlan, snapshot},
    },
};

#[test]
fn candidates_are_what_is_answered_or_withheld_and_know_whether_a_kernel_speaks() {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    // Mode, and whether the child's kernel speaks on the LAN.
    for (mode, l2) in [(Mode::L2, true), (Mode::L3, false), (Mode::L3s, false)] {
        let addresses = [
            "192.0.2.7/24",
            "192.0.2.8/24",
            "192.0.2.9/24",
            "127.0.0.9/8",
            "2001:db8::7/64",
        ];
        let snapshot = snapshot(vec![Child {
            kind: ipvlan(mode),
            ..child(7, &addresses)
        }]);
        let withheld = BTreeMap::from([(ip("192.0.2.9"), Reason::Duplicate)]);
        let desired = desired(&snapshot, &snapshot.links[0], &Policy::default(), &withheld);
        let no_room = BTreeSet::from([ip("192.0.2.8")]);
        let candidates = candidates(&desired, &no_room).into_iter();
        let candidates: Vec<_> = candidates.map(|(address, of)| (address, of.l2)).collect();
        let expected = ["192.0.2.7", "192.0.2.9", "2001:db8::7"].map(|text| (ip(text), l2));
        assert_eq!(candidates, expected, "{mode:?}");
    }
}
