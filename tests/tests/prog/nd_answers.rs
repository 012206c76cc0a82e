//! Advertisements: their flags, and the options of solicitations that decide where they go.

use ipvlan_model::prelude::*;

/// Answered with these flags and the parent's MAC.
fn advertises(name: &str, asked: &Nd, letters: &str, slot: u32) -> Row {
    row(name, WIRE, asked.frame()).advertised(advertisement(asked, letters), slot)
}

/// Answered with these flags and no option.
fn confirms(name: &str, asked: &Nd, letters: &str, slot: u32) -> Row {
    let advertisement = asked.answered(PARENT, letters, Vec::new()).frame();
    assert_eq!(advertisement.len(), ndp::LEN);
    row(name, WIRE, asked.frame()).advertised(advertisement, slot)
}

#[test]
fn advertisements_have_the_flags_of_their_target() {
    let modes = [
        L3,
        l2_filter(),
        L3 | ConfigFlags::L2,
        L3 | ConfigFlags::L2_FLOOD,
    ];
    let (router, optimistic) = (ROUTER_IP6, OPTIMISTIC_IP6);
    let to_group =
        |letters, target, slot| advertises(letters, &ndp::solicitation(target), letters, slot);
    let forwards = to_group("RSO", router, ROUTER_SLOT);
    let rows = [forwards, to_group("S", optimistic, OPTIMISTIC_SLOT)];
    check(in_modes(&modes, rows));
    let both = child(CHILD_SLOT).with_optimistic().with_router();
    check([to_group("RS", FOREIGN_IP6, CHILD_SLOT).entry(FOREIGN_IP6, both)]);
    let bare = ndp::unicast(CHILD_IP6).with(Vec::new());
    let asked = ndp::unicast(optimistic);
    let rows = [
        confirms("forwards", &ndp::unicast(router), "RS", ROUTER_SLOT),
        confirms("optimistic", &asked, "S", OPTIMISTIC_SLOT),
        confirms("to the source of the frame", &bare, "S", CHILD_SLOT),
    ];
    check(in_modes(&[L3, l2_filter()], rows));
}

#[test]
fn answers_duplicate_address_detection_to_all_nodes() {
    let told = |name, probe: &Nd, letters, slot| {
        advertises(name, probe, letters, slot).reports(EventKind::Probe, LAN, probe.target, slot)
    };
    let bare = ndp::probe(CHILD_IP6).with(Vec::new());
    // The kernel gives an optimistic address up instead of defending it.
    let optimistic = ndp::probe(OPTIMISTIC_IP6);
    let rows = [
        told("without options", &bare, "O", CHILD_SLOT),
        told("forwards", &ndp::probe(ROUTER_IP6), "RO", ROUTER_SLOT),
        passes("optimistic", optimistic, Reason::LeftToKernel),
    ];
    check(in_modes(&[L3, l2_filter()], rows));
}

#[test]
fn the_answer_goes_to_the_mac_in_the_option() {
    let relayed = Nd {
        eth_src: OTHER,
        ..solicitation()
    };
    let (mac, other) = (option(SOURCE_MAC, &LAN), option(SOURCE_MAC, &OTHER));
    let (nonce, unknown) = (option(NONCE, &[7; 6]), option(253, &[9; 40]));
    let two_units = option(SOURCE_MAC, &[0; 14]);
    let empty = option(0, &[]);
    let options = [
        ("alone", vec![mac.clone()]),
        ("nonce before it", vec![nonce.clone(), mac.clone()]),
        ("of two the first", vec![mac.clone(), other]),
        ("whatever the second is", vec![mac.clone(), two_units]),
        ("unknown options", vec![mac.clone(), unknown, empty]),
        ("a target's MAC is ignored", vec![mac, own_mac()]),
    ];
    let advertisement = advertisement(&solicitation(), "SO");
    check(options.map(|(name, options)| {
        let asked = relayed.clone().with(options.concat());
        row(name, WIRE, asked.frame()).advertised(advertisement.clone(), CHILD_SLOT)
    }));
    let without = relayed.with(nonce);
    check([answers("without: to eth.src", without, CHILD_SLOT)]);
}
