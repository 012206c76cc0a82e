//! One row of a dump of nsids, or one event of them.

use crate::netlink::attribute::{Malformed, after, attributes, i32_value};

const HEADER: usize = 4;
const NETNSA_NSID: u16 = 1;

/// Decodes the payload of an `RTM_NEWNSID`; -1 means not assigned.
pub(super) fn decode_nsid(payload: &[u8]) -> Result<Option<i32>, Malformed> {
    for attribute in attributes(after(payload, HEADER)?) {
        let (kind, value) = attribute?;
        if kind == NETNSA_NSID {
            return Ok(Some(i32_value(value)?).filter(|&nsid| nsid >= 0));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable as _;
    use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
    use proptest::prelude::*;

    use super::*;

    fn payload(nsid: i32) -> Vec<u8> {
        let mut message = NsidMessage::default();
        message.attributes = vec![NsidAttribute::Id(nsid)];
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    #[test]
    fn minus_one_is_no_nsid() {
        assert_eq!(decode_nsid(&payload(0)), Ok(Some(0)));
        assert_eq!(decode_nsid(&payload(-1)), Ok(None));
    }

    #[test]
    fn a_cut_row_is_malformed() {
        let bytes = payload(7);
        for length in (0..bytes.len()).filter(|&length| length != HEADER) {
            assert!(decode_nsid(&bytes[..length]).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_malformed(bytes: Vec<u8>) {
            let _ = decode_nsid(&bytes);
        }
    }
}
