//! Rows of a netlink dump: decoded or malformed. Whole dumps with faults: no effect on other netns.

#![no_main]

use ipvlan_fuzz::netlink::{decode, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    decode(bytes);
    read(bytes);
});
