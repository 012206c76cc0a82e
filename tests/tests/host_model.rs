//! The same comparison as `prog_model`, without a kernel: the functions that the programs are made of
//! agree with the reference model, whatever the frame is.

use std::sync::LazyLock;

use ipvlan_model::{
    host,
    model::{Expected, model},
    mutate,
    prelude::*,
};
use proptest::{collection::vec, prelude::*};

static ENTRIES: LazyLock<Entries> = LazyLock::new(mutate::all_entries);

fn compare(
    programs: &[Program],
    config: [Config; 2],
    entries: &Entries,
    frame: &[u8],
    origin: Origin,
) -> Result<(), TestCaseError> {
    for &program in programs {
        let expected = Expected {
            event: None,
            ..model(program, config, entries, frame, origin)
        };
        let actual = host::run(program, config, entries, frame, origin);
        prop_assert_eq!(&actual, &expected, "{}", program.name());
        if matches!(
            actual.reason,
            Some(Reason::ArpAnswered | Reason::NdAnswered)
        ) {
            well_formed(&actual.frame)?;
        }
    }
    Ok(())
}

/// What holds for every answer, whatever the question was.
fn well_formed(answer: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(&answer[6..12], &PARENT[..], "from the parent");
    prop_assert!(answer[..6] != [0; 6], "to somebody");
    if answer[12..ETH_LEN] == [0x08, 0x06] {
        prop_assert_eq!(answer.len(), 42);
        prop_assert_eq!(&answer[22..28], &PARENT[..]);
        return Ok(());
    }
    let payload_len = u16::from_be_bytes([answer[v6::PAYLOAD_LEN], answer[v6::PAYLOAD_LEN + 1]]);
    prop_assert!(matches!(answer.len(), 78 | 86));
    prop_assert_eq!(v6::LEN + usize::from(payload_len), answer.len());
    prop_assert_eq!(ndp::checksum(answer), Some([0; 2]));
    prop_assert_eq!(answer[v6::HOP_LIMIT], 255);
    prop_assert_eq!(answer[ndp::TYPE], ndp::ADVERTISEMENT);
    Ok(())
}

/// Bytes behind an ethertype that the programs look at: no valid frame to begin with.
fn random() -> impl Strategy<Value = Vec<u8>> {
    let ethertypes = prop::sample::select(vec![[0x08, 0x00], [0x08, 0x06], [0x86, 0xdd]]);
    (any::<[u8; 12]>(), ethertypes, vec(any::<u8>(), 0..160))
        .prop_map(|(macs, ethertype, rest)| [&macs[..], &ethertype, &rest].concat())
}

/// Any that there is, those that a test run in the kernel cannot have too.
fn origin() -> impl Strategy<Value = Origin> {
    (0..4_u32, any::<bool>()).prop_map(|(ingress_ifindex, other_netns)| Origin {
        ingress_ifindex,
        other_netns,
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 5_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn mutated_frames_are_treated_as_the_model_says(
        config in mutate::config(),
        frame in mutate::frame(),
        origin in origin(),
    ) {
        compare(Program::ALL, config, &ENTRIES, &frame, origin)?;
    }

    #[test]
    fn random_bytes_are_treated_as_the_model_says(
        config in mutate::config(),
        frame in random(),
        origin in origin(),
    ) {
        compare(Program::ALL, config, &ENTRIES, &frame, origin)?;
    }

    /// Whatever a record holds, it is an event of that record's fields or none.
    #[test]
    fn any_record_is_an_event_or_none(record in vec(any::<u8>(), 0..40)) {
        let event = Event::from_record(&record);
        prop_assert_eq!(event.is_some(), record.len() == size_of::<Event>());
        if let Some(event) = event {
            prop_assert_eq!(&event.mac()[..], &record[16..22]);
            let _names = (event.kind(), event.hook(), event.address());
        }
    }

    #[test]
    fn an_event_survives_the_ring_buffer(
        address: [u8; 16],
        mac: [u8; 6],
        slot: u32,
        kind in prop::sample::select(vec![
            EventKind::Claim,
            EventKind::Probe,
            EventKind::UnicastProbe,
        ]),
        hook in prop::sample::select(Hook::ALL.to_vec()),
        v6: bool,
    ) {
        let [a, b, c, d, ..] = address;
        let (event, expected) = if v6 {
            (Event::ipv6(kind, hook, mac, address, slot), IpAddr::from(address))
        } else {
            (Event::ipv4(kind, hook, mac, [a, b, c, d], slot), [a, b, c, d].into())
        };
        prop_assert_eq!(event.address(), Some(expected));
        prop_assert_eq!((event.kind(), event.hook()), (Some(kind), Some(hook)));
        prop_assert_eq!((event.mac(), event.slot()), (mac, slot));
        let (words, is_v4) = event.address_words();
        let words = words.map(u64::to_ne_bytes).concat();
        prop_assert_eq!(is_v4, !v6);
        prop_assert_eq!(&words[..4], &address[..4]);
        prop_assert!(is_v4 || words == address);
        // SAFETY: integers only, no padding (asserted where it is defined).
        let record: [u8; size_of::<Event>()] = unsafe { std::mem::transmute(event) };
        prop_assert_eq!(Event::from_record(&record), Some(event));
    }
}

/// What a station with `src` sends about `dst`.
fn received(src: IpAddr, dst: IpAddr) -> Vec<Vec<u8>> {
    let asks = Message::ask(dst).sender(src);
    let claims = match &asks {
        Message::Arp(asks) => Arp { oper: 2, ..*asks }.into(),
        Message::Nd(_) => Message::announcement(dst),
    };
    let last = if src.is_unspecified() {
        Message::probe(dst)
    } else {
        claims.source(PARENT)
    };
    let messages = [asks.unicast(), asks, claims, last];
    let packet = IpPacket::udp([PARENT, LAN], src, dst).frame();
    messages
        .iter()
        .map(Message::frame)
        .chain([packet])
        .collect()
}

/// What the host or a child with `src` sends to `dst`.
fn sent(src: IpAddr, dst: IpAddr) -> Vec<Vec<u8>> {
    let asks = Message::from_parent(src, dst);
    let reply = match &asks {
        Message::Arp(asks) => Message::from(Arp { oper: 2, ..*asks }).to(PARENT),
        Message::Nd(_) => asks.unicast(),
    };
    let macs = [[PARENT, PARENT], [PARENT, OTHER], [OTHER, PARENT]];
    let packets = macs.map(|macs| IpPacket::udp(macs, src, dst).frame());
    [asks, reply]
        .iter()
        .map(Message::frame)
        .chain(packets)
        .collect()
}

#[test]
fn every_pair_of_addresses_is_treated_as_the_model_says() {
    let unowned = both(|at| [at.lan, at.foreign]);
    let addresses: Vec<IpAddr> = ENTRIES.keys().copied().chain(unowned).collect();
    // Of two that no host can have, one decides.
    let is_odd = |address| ENTRIES.get(&address) == Some(&child(ODD_SLOT));
    let l2_isolated = l2_filter() | ConfigFlags::ISOLATED | ConfigFlags::CHILD_IIF;
    let origins = [Origin::default(), Origin::CONTAINER, Origin::FORWARDED];
    let check = |programs, flags, frame: &[u8], origin| {
        let same = compare(programs, config(flags), &ENTRIES, frame, origin);
        same.unwrap_or_else(|error| panic!("{flags:?}, {origin:?}, {frame:02x?}: {error}"));
    };
    for &src in &addresses {
        for &dst in &addresses {
            if src.is_ipv4() != dst.is_ipv4() || is_odd(src) && is_odd(dst) {
                continue;
            }
            for frame in received(src, dst) {
                for flags in [L3, l2_filter()] {
                    check(WIRE, flags, &frame, Origin::default());
                }
            }
            for frame in sent(src, dst) {
                for flags in [L3, l3_vepa(), l2_isolated] {
                    for origin in origins {
                        check(EGRESS, flags, &frame, origin);
                    }
                }
            }
        }
    }
}

/// A model that answers nobody would agree with programs that answer nobody.
#[test]
fn the_corpus_reaches_answers_hairpins_redirects_and_drops() {
    let reached = |wanted: Reason| {
        valid().iter().any(|frame| {
            Program::ALL.iter().any(|&program| {
                [L3, l2_filter()].into_iter().any(|flags| {
                    host::run(program, config(flags), &ENTRIES, frame, Origin::default()).reason
                        == Some(wanted)
                })
            })
        })
    };
    for reason in [
        Reason::ArpAnswered,
        Reason::NdAnswered,
        Reason::Hairpinned,
        Reason::Redirected,
        Reason::ForeignDropped,
        Reason::SenderConflict,
        Reason::Advertisement,
        Reason::ExtensionHeader,
    ] {
        assert!(reached(reason), "{reason:?}");
    }
}
