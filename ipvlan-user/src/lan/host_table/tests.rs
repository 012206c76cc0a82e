use super::*;

const IFINDEX: u32 = 7;
const ADDRESS: [u8; 4] = [192, 0, 2, 9];
const MAC: Mac = [2, 0, 0, 0, 0, 9];

type Attribute<'a> = (u16, &'a [u8]);

/// An `RTM_NEWNEIGH` of [`ADDRESS`], with one more attribute or none.
fn row(ifindex: u32, state: u16, flags: u8, further: Option<Attribute<'_>>) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0];
    bytes.extend(ifindex.to_ne_bytes());
    bytes.extend(state.to_ne_bytes());
    bytes.extend([flags, 1]);
    let known: [Attribute<'_>; 2] = [(libc::NDA_DST, &ADDRESS), (libc::NDA_LLADDR, &MAC)];
    for (kind, value) in known.into_iter().chain(further) {
        let length = u16::try_from(value.len() + 4).unwrap();
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

#[test]
fn entries_that_the_kernel_learned_are_read_and_no_others() {
    let managed = 1_u32.to_ne_bytes();
    let valid = Some(State::Valid);
    // State, flags and one more attribute; the state that is read.
    let rows: [(u16, u8, Option<Attribute<'_>>, Option<State>); 17] = [
        (0x01, 0, None, Some(State::Incomplete)),
        (0x02, 0, None, valid),
        (0x04, 0, None, valid),
        (0x08, 0, None, valid),
        (0x10, 0, None, Some(State::Probe)),
        (0x20, 0, None, Some(State::Unresolved)),
        (0x00, 0, None, Some(State::Unresolved)),
        (0x40, 0, None, None),
        (0x80, 0, None, None),
        (0x02, 0x08, None, None),
        (0x02, 0x10, None, None),
        (0x02, 0x40, None, None),
        (0x02, ROUTER, None, valid),
        (0x02, 0, Some((NDA_PROTOCOL, &[4])), None),
        (0x02, 0, Some((NDA_PROTOCOL, &[0])), valid),
        (0x02, 0, Some((NDA_FLAGS_EXT, &managed)), None),
        (0x02, 0, Some((NDA_FLAGS_EXT, &[0; 4])), valid),
    ];
    for (nud, flags, further, expected) in rows {
        let read = decode(&row(IFINDEX, nud, flags, further), IFINDEX).unwrap();
        let expected = expected.map(|state| Entry {
            address: ADDRESS.into(),
            state,
            mac: matches!(state, State::Valid | State::Probe).then_some(MAC),
            router: flags & ROUTER != 0,
        });
        assert_eq!(read, expected, "{nud:#x} {flags:#x} {further:?}");
    }
    let of_another_link = row(IFINDEX + 1, 0x02, 0, None);
    assert_eq!(decode(&of_another_link, IFINDEX).unwrap(), None);
}

#[test]
fn a_truncated_row_is_malformed() {
    let whole = row(IFINDEX, 0x02, 0, None);
    for length in [0, HEADER - 1, HEADER + 3, whole.len() - 3] {
        assert!(decode(&whole[..length], IFINDEX).is_err(), "{length}");
    }
}
