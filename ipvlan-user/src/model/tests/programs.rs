//! Which programs a parent needs, and how each child is served by them.

use super::*;

#[test]
fn egress_looks_packets_up_only_for_children_the_host_routes_elsewhere() {
    let rows: [(&[&str], EgressProgram); 8] = [
        (&[], EgressProgram::OwnMac),
        (&["172.16.91.101/24"], EgressProgram::OwnMac),
        (&["10.0.1.10/24"], EgressProgram::Routed),
        // Refused, so there is nothing to turn around.
        (&["169.254.3.4/16"], EgressProgram::OwnMac),
        (&["2001:db8:91::101/64"], EgressProgram::OwnMac),
        (&["2001:db8:7::101/64"], EgressProgram::Routed),
        // Outside fe80::/64, which is the on-link route, and still never behind a gateway.
        (&["fe80:1::101/64"], EgressProgram::OwnMac),
        (&["::ffff:10.0.1.10/128"], EgressProgram::OwnMac),
    ];
    for (addresses, program) in rows {
        let desired = usual(&snapshot(vec![child(7, addresses)]));
        assert_eq!(desired.egress, program, "{addresses:?}");
    }
}

#[test]
fn only_children_in_the_hosts_netns_outside_l3s_are_redirected() {
    use IngressProgram::{Demux, Neighbour};
    let rows = [
        (Deliver::Auto, NetnsId::Own, Mode::L3, Neighbour),
        (Deliver::Pass, NetnsId::Own, Mode::L3, Neighbour),
        (Deliver::Redirect, NetnsId::Own, Mode::L2, Demux),
        (Deliver::Redirect, NetnsId::Own, Mode::L3, Demux),
        (Deliver::Redirect, NetnsId::Own, Mode::L3s, Neighbour),
        (Deliver::Redirect, NetnsId::Nsid(1), Mode::L3, Neighbour),
    ];
    for (deliver, netns, mode, program) in rows {
        let mut child = child(7, &["172.16.91.101/24", "2001:db8:91::101/64"]);
        child.netns = netns;
        child.mode = mode;
        let policy = Policy {
            deliver,
            ..Policy::default()
        };
        let desired = decide(&snapshot(vec![child]), &policy);
        assert_eq!(desired.ingress, program, "{deliver:?} {netns:?} {mode:?}");
        let delivery = if program == Demux {
            Delivery::Redirect
        } else {
            Delivery::Pass
        };
        for text in ["172.16.91.101", "2001:db8:91::101"] {
            let entry = desired.addresses[&address(text)].entry(|_| 0);
            assert_eq!(entry.delivery(), delivery, "{text}");
        }
    }
}

#[test]
fn arp_for_l2_children_in_the_hosts_netns_is_left_to_the_kernel_and_solicitations_are_not() {
    let rows = [
        (NetnsId::Own, Mode::L2, true),
        (NetnsId::Own, Mode::L3, false),
        (NetnsId::Nsid(1), Mode::L2, false),
    ];
    for (netns, mode, by_kernel) in rows {
        let mut child = child(7, &["172.16.91.101/24", "2001:db8:91::101/64"]);
        child.netns = netns;
        child.mode = mode;
        let desired = usual(&snapshot(vec![child]));
        for (text, by_kernel) in [("172.16.91.101", by_kernel), ("2001:db8:91::101", false)] {
            let entry = desired.addresses[&address(text)].entry(|_| 0);
            assert_eq!(entry.by_kernel(), by_kernel, "{netns:?} {mode:?} {text}");
            assert_eq!(entry.refusal(), None);
        }
    }
}

#[test]
fn advertisements_of_a_child_that_forwards_are_a_routers() {
    for forwarding in [false, true] {
        let mut child = child(7, &["172.16.91.101/24", "2001:db8:91::101/64"]);
        child.forwarding = forwarding;
        let mut snapshot = snapshot(vec![child]);
        // What the parent does says nothing about its children.
        snapshot.links[0].forwarding = !forwarding;
        let desired = usual(&snapshot);
        let router = |text| desired.addresses[&address(text)].entry(|_| 0).router();
        assert_eq!(router("2001:db8:91::101"), forwarding);
        assert_eq!(router(HOST_V6), !forwarding);
        // ARP has no such flag: an entry that differed would be written for nothing.
        assert!(!router("172.16.91.101") && !router(HOST));
    }
}
