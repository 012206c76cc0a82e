//! Rows of a netlink dump: decoded or malformed.

#![no_main]

use ipvlan_fuzz::netlink::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|row: &[u8]| decode(row));
