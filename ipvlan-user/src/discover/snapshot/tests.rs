use super::*;

fn with_peer(local: &str, peer: &str) -> ChildAddress {
    ChildAddress {
        local: local.parse().unwrap(),
        peer: Some(peer.parse().unwrap()),
        prefix_len: 32,
        scope: 0,
        flags: 0,
    }
}

#[test]
fn the_driver_registers_the_peer_for_ipv4_only() {
    let v4 = with_peer("192.0.2.1", "192.0.2.2");
    assert_eq!(Some(v4.registered()), v4.peer);
    let v6 = with_peer("2001:db8::1", "2001:db8::2");
    assert_eq!(v6.registered(), v6.local);
}

#[test]
fn flags_tell_how_far_duplicate_address_detection_is() {
    const TENTATIVE: u32 = libc::IFA_F_TENTATIVE;
    const OPTIMISTIC: u32 = libc::IFA_F_OPTIMISTIC;
    const FAILED: u32 = libc::IFA_F_DADFAILED;
    for (flags, dad) in [
        (libc::IFA_F_PERMANENT, Dad::Done),
        (TENTATIVE, Dad::Tentative),
        (TENTATIVE | OPTIMISTIC, Dad::Optimistic),
        (OPTIMISTIC, Dad::Optimistic),
        (TENTATIVE | FAILED, Dad::Failed),
        (FAILED | OPTIMISTIC, Dad::Failed),
    ] {
        assert_eq!(Dad::of(flags), dad, "{flags:#x}");
    }
}
