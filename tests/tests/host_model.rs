//! The same comparison as `prog_model`, without a kernel: the functions that the programs are made of
//! agree with the reference model, whatever the frame is.

use std::{net::IpAddr, sync::LazyLock};

use ipvlan_common::{Config, ConfigFlags, Event, EventKind, Hook, Reason};
use ipvlan_model::{
    datapath::Program,
    frames::{ETH_LEN, ip::v6, ndp},
    host,
    model::{Expected, model},
    mutate,
    program::Origin,
    world::{Entries, PARENT},
};
use proptest::{collection::vec, prelude::*};

static ENTRIES: LazyLock<Entries> = LazyLock::new(mutate::all_entries);

fn compare(
    config: [Config; 2],
    entries: &Entries,
    frame: &[u8],
    origin: Origin,
) -> Result<(), TestCaseError> {
    for &program in Program::ALL {
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
        compare(config, &ENTRIES, &frame, origin)?;
    }

    #[test]
    fn random_bytes_are_treated_as_the_model_says(
        config in mutate::config(),
        frame in random(),
        origin in origin(),
    ) {
        compare(config, &ENTRIES, &frame, origin)?;
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
        v6: bool,
    ) {
        let [a, b, c, d, ..] = address;
        let (event, expected) = if v6 {
            (Event::ipv6(kind, Hook::Xdp, mac, address, slot), IpAddr::from(address))
        } else {
            (Event::ipv4(kind, Hook::Xdp, mac, [a, b, c, d], slot), [a, b, c, d].into())
        };
        prop_assert_eq!(event.address(), Some(expected));
        prop_assert_eq!((event.kind(), event.hook()), (Some(kind), Some(Hook::Xdp)));
        prop_assert_eq!((event.mac(), event.slot()), (mac, slot));
    }
}

/// A model that answers nobody would agree with programs that answer nobody.
#[test]
fn the_corpus_reaches_answers_hairpins_redirects_and_drops() {
    let filter = ipvlan_model::world::l2_filter();
    let reached = |wanted: Reason| {
        ipvlan_model::frames::valid().iter().any(|frame| {
            Program::ALL.iter().any(|&program| {
                [ConfigFlags::READY, filter].into_iter().any(|flags| {
                    let config = [Config::new(PARENT, flags); 2];
                    host::run(program, config, &ENTRIES, frame, Origin::default()).reason
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
