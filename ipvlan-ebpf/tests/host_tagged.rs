//! A frame whose VLAN tag the kernel or the NIC has already taken out of it. `BPF_PROG_TEST_RUN`
//! cannot make one, but the decision needs nothing beyond the fields of `__sk_buff`.

use aya_ebpf::{bindings::__sk_buff, programs::TcContext};
use ipvlan_common::Reason;
use ipvlan_ebpf::{
    decide::Decision,
    hook::tc,
    parse::{ETH_P_ARP, ETH_P_IP},
};

/// What the hooks see of a frame with this ethertype behind this tag control information.
fn context(ethertype: u16, tci: u16) -> __sk_buff {
    // SAFETY: integers and addresses, for all of which zero is a value.
    let mut skb: __sk_buff = unsafe { std::mem::zeroed() };
    // Received by no interface: what the host or a child sends.
    skb.ifindex = 2;
    skb.protocol = u32::from(ethertype.to_be());
    skb.vlan_present = 1;
    skb.vlan_tci = u32::from(tci);
    skb
}

#[test]
fn arp_on_a_vlan_is_left_to_the_vlan_device_by_every_program() {
    let programs = [
        tc::ingress::<false>,
        tc::ingress::<true>,
        tc::egress::<false, false>,
        tc::egress::<true, false>,
    ];
    // VLAN 1, the last, and with a priority.
    for tci in [1, 5, 4094, 4095, 0xe001] {
        for program in programs {
            let mut skb = context(ETH_P_ARP, tci);
            let decision = program(&TcContext::new(&raw mut skb));
            assert_eq!(
                decision,
                Some(Decision::unattributed(Reason::Tagged)),
                "{tci}"
            );
        }
    }
}

#[test]
fn ipv4_with_any_tag_is_left_alone() {
    for tci in [0, 1, 4095, 0xe000] {
        for program in [tc::ingress::<true>, tc::egress::<true, false>] {
            let mut skb = context(ETH_P_IP, tci);
            let decision = program(&TcContext::new(&raw mut skb));
            assert_eq!(
                decision,
                Some(Decision::unattributed(Reason::Tagged)),
                "{tci}"
            );
        }
    }
}
