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
    use super::*;

    #[test]
    fn minus_one_is_no_nsid() {
        for (nsid, expected) in [(0, Some(0)), (-1, None)] {
            let bytes = [&[0; HEADER][..], &[8, 0, 1, 0], &i32::to_ne_bytes(nsid)].concat();
            assert_eq!(decode_nsid(&bytes), Ok(expected));
        }
    }
}
