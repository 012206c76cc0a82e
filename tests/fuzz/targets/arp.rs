//! ARP frames: parsed, decided on and answered as the reference model says.

#![no_main]

use std::sync::LazyLock;

use ipvlan_fuzz::check;
use ipvlan_model::frames;
use libfuzzer_sys::fuzz_target;

static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(frames::corpus::arps);

fuzz_target!(|input: &[u8]| check(input, &[[0x08, 0x06]], &CORPUS));
