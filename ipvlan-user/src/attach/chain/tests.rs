use super::*;
use crate::netlink::attribute::tests::attribute;

fn filter(priority: u16, handle: u32, kind: &str, protocol: u16) -> Entry {
    Entry {
        priority,
        handle,
        protocol,
        kind: kind.to_owned(),
        ..Entry::default()
    }
}

/// A filter of ours for received frames with foreign ones before and after it.
pub(in crate::attach) fn around((priority, handle): (u16, u32)) -> Vec<Entry> {
    vec![
        filter(1, 0, "u32", ETH_P_IP),
        filter(1, 1, "u32", ETH_P_IP),
        Entry {
            verdict: Some(UNSPEC),
            ..filter(2, 1, "matchall", ETH_P_ALL)
        },
        filter(4, 1, "flower", ETH_P_ALL),
        Entry {
            name: Some(programs::PARENT_INGRESS.to_owned()),
            ..filter(priority, handle, "bpf", ETH_P_ALL)
        },
        filter(50_000, 1, "matchall", ETH_P_ALL),
    ]
}

fn message(handle: u32, priority: u16, protocol: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    bytes.extend(handle.to_ne_bytes());
    bytes.extend([0; 4]);
    let info = u32::from(priority) << 16 | u32::from(protocol.to_be());
    bytes.extend(info.to_ne_bytes());
    bytes.extend(attributes.concat());
    bytes
}

fn matchall(verdicts: &[i32]) -> Vec<Vec<u8>> {
    let actions: Vec<u8> = verdicts
        .iter()
        .zip(FIRST..)
        .flat_map(|(verdict, place)| {
            let mut parameters = vec![0; GACT_ACTION];
            parameters.extend(verdict.to_ne_bytes());
            parameters.extend([0; 8]);
            let options = attribute(TCA_GACT_PARMS, &parameters);
            let action = [
                attribute(TCA_ACT_KIND, b"gact\0"),
                // The kernel sets the flag of a nest.
                attribute(TCA_ACT_OPTIONS | 1 << 15, &options),
            ];
            attribute(place, &action.concat())
        })
        .collect();
    vec![
        attribute(TCA_KIND, b"matchall\0"),
        attribute(TCA_OPTIONS, &attribute(TCA_MATCHALL_ACT, &actions)),
    ]
}

#[test]
fn a_filter_is_read_from_the_bytes_of_its_message() {
    let name = attribute(TCA_BPF_NAME, b"cil_from_netdev\0");
    let bpf = [
        attribute(TCA_KIND, b"bpf\0"),
        attribute(TCA_CHAIN, &0_u32.to_ne_bytes()),
        attribute(TCA_OPTIONS, &name),
    ];
    let entry = parse(&message(1, 2, ETH_P_ALL, &bpf)).unwrap();
    let expected = Entry {
        name: Some("cil_from_netdev".to_owned()),
        ..filter(2, 1, "bpf", ETH_P_ALL)
    };
    assert_eq!(entry, expected);
    assert_eq!(entry.to_string(), "filter bpf of pref 2 (cil_from_netdev)");
    // Verdicts of the actions, what is known of them, whether the chain ends and whether frames may be kept.
    let rows: [(&[i32], _, _, _); 5] = [
        (&[0], Some(0), true, true),
        (&[2], Some(2), true, true),
        (&[UNSPEC], Some(UNSPEC), false, false),
        (&[PIPE], Some(PIPE), false, true),
        (&[PIPE, 0], None, false, true),
    ];
    for (verdicts, verdict, ends, concerns) in rows {
        let entry = parse(&message(1, 1, ETH_P_ALL, &matchall(verdicts))).unwrap();
        assert_eq!(entry.verdict, verdict, "{verdicts:?}");
        assert_eq!(entry.ends_the_chain(), ends, "{verdicts:?}");
        assert_eq!(entry.concerns(Hook::Ingress), concerns, "{verdicts:?}");
    }
    let elsewhere = [attribute(TCA_CHAIN, &7_u32.to_ne_bytes())];
    assert_eq!(parse(&message(1, 1, ETH_P_ALL, &elsewhere)), None);
}

#[test]
fn a_message_that_is_cut_off_is_no_panic() {
    let whole = message(1, 1, ETH_P_ALL, &matchall(&[0, 2]));
    for length in 0..whole.len() {
        let _cut: Option<Entry> = parse(&whole[..length]);
    }
}

#[test]
fn only_filters_for_what_is_answered_concern_a_hook() {
    // Protocol, whether it concerns ingress and egress.
    let rows = [
        (ETH_P_ALL, true, true),
        (ETH_P_ARP, true, true),
        (ETH_P_IPV6, true, true),
        (ETH_P_IP, false, true),
        (0x8100, false, false),
    ];
    for (protocol, ingress, egress) in rows {
        let entry = filter(1, 1, "u32", protocol);
        assert_eq!(entry.concerns(Hook::Ingress), ingress, "{protocol:x}");
        assert_eq!(entry.concerns(Hook::Egress), egress, "{protocol:x}");
    }
}

#[test]
fn a_priority_before_all_others_is_found_where_there_is_one() {
    let bpf = |priority| filter(priority, 1, "bpf", ETH_P_ALL);
    let all = |priority| filter(priority, 1, "matchall", ETH_P_ALL);
    let ip = |priority| filter(priority, 1, "u32", ETH_P_IP);
    // A priority without filters, whose kind is taken nevertheless.
    let empty = |priority| filter(priority, 0, "flower", ETH_P_ALL);
    let rows = [
        (vec![], Some(17), 0),
        (vec![all(49_152)], Some(17), 49_153),
        (vec![all(5)], Some(4), 6),
        (vec![all(2)], Some(1), 3),
        (vec![all(1)], None, 2),
        (vec![bpf(1)], Some(1), 2),
        (vec![bpf(1), all(9)], Some(1), 10),
        (vec![ip(1)], Some(17), 2),
        (vec![ip(1), all(2)], None, 3),
        (vec![ip(1), bpf(2)], Some(2), 3),
        (vec![ip(17)], Some(16), 18),
        (vec![empty(4), all(5)], Some(3), 6),
        (vec![all(u16::MAX)], Some(17), 0),
    ];
    for (entries, before, after) in rows {
        let others: Vec<&Entry> = entries.iter().collect();
        assert_eq!(first(&others, Hook::Ingress), before, "{entries:?}");
        assert_eq!(last(&others), after, "{entries:?}");
    }
    let others = [all(1), ip(2)];
    assert_eq!(lowest_free(&others.iter().collect::<Vec<_>>()), 3);
}

#[test]
fn a_handle_is_one_that_is_free() {
    let [one, two] = HANDLES;
    let ours = filter(1, one, "bpf", ETH_P_ALL);
    assert_eq!(handle(&[], 1), one);
    assert_eq!(handle(std::slice::from_ref(&ours), 2), one);
    assert_eq!(handle(std::slice::from_ref(&ours), 1), two);
}
