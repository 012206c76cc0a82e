use super::*;

const IFINDEX: u32 = 7;
const ADDRESS: [u8; 4] = [192, 0, 2, 9];
const MAC: Mac = [2, 0, 0, 0, 0, 9];

/// An `RTM_NEWNEIGH` of [`ADDRESS`] with these further attributes.
fn row(ifindex: u32, state: u16, flags: u8, further: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0];
    bytes.extend(ifindex.to_ne_bytes());
    bytes.extend(state.to_ne_bytes());
    bytes.extend([flags, 1]);
    let known: [(u16, &[u8]); 2] = [(libc::NDA_DST, &ADDRESS), (libc::NDA_LLADDR, &MAC)];
    for &(kind, value) in known.iter().chain(further) {
        let length = u16::try_from(value.len() + 4).unwrap();
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// Ifindex, state, flags and further attributes; the state that is read.
type Row<'a> = (u32, u16, u8, Vec<(u16, &'a [u8])>, Option<State>);

#[test]
fn entries_that_the_kernel_learned_are_read_and_no_others() {
    let managed = 1_u32.to_ne_bytes();
    let rows: [Row<'_>; 18] = [
        (IFINDEX, 0x01, 0, vec![], Some(State::Incomplete)),
        (IFINDEX, 0x02, 0, vec![], Some(State::Valid)),
        (IFINDEX, 0x04, 0, vec![], Some(State::Valid)),
        (IFINDEX, 0x08, 0, vec![], Some(State::Valid)),
        (IFINDEX, 0x10, 0, vec![], Some(State::Probe)),
        (IFINDEX, 0x20, 0, vec![], Some(State::Unresolved)),
        (IFINDEX, 0x00, 0, vec![], Some(State::Unresolved)),
        (IFINDEX, 0x40, 0, vec![], None),
        (IFINDEX, 0x80, 0, vec![], None),
        (IFINDEX + 1, 0x02, 0, vec![], None),
        (IFINDEX, 0x02, 0x08, vec![], None),
        (IFINDEX, 0x02, 0x10, vec![], None),
        (IFINDEX, 0x02, 0x40, vec![], None),
        (IFINDEX, 0x02, ROUTER, vec![], Some(State::Valid)),
        (IFINDEX, 0x02, 0, vec![(NDA_PROTOCOL, &[4])], None),
        (
            IFINDEX,
            0x02,
            0,
            vec![(NDA_PROTOCOL, &[0])],
            Some(State::Valid),
        ),
        (IFINDEX, 0x02, 0, vec![(NDA_FLAGS_EXT, &managed)], None),
        (
            IFINDEX,
            0x02,
            0,
            vec![(NDA_FLAGS_EXT, &[0; 4])],
            Some(State::Valid),
        ),
    ];
    for (ifindex, nud, flags, further, expected) in rows {
        let read = decode(&row(ifindex, nud, flags, &further), IFINDEX).unwrap();
        let expected = expected.map(|state| Entry {
            address: ADDRESS.into(),
            state,
            mac: matches!(state, State::Valid | State::Probe).then_some(MAC),
            router: flags & ROUTER != 0,
        });
        assert_eq!(read, expected, "{nud:#x} {flags:#x} {further:?}");
    }
}

#[test]
fn a_truncated_row_is_malformed() {
    let whole = row(IFINDEX, 0x02, 0, &[]);
    for length in [0, HEADER - 1, HEADER + 3, whole.len() - 3] {
        assert!(decode(&whole[..length], IFINDEX).is_err(), "{length}");
    }
}
