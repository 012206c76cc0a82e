//! Configuration files, status documents and names: read or refused, and displayed without control characters.

#![no_main]

use ipvlan_fuzz::shown::check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| check(input));
