//! IP packets of both families: delivered and hairpinned as the reference model says.

#![no_main]

use std::sync::LazyLock;

use ipvlan_fuzz::check;
use ipvlan_model::frames;
use libfuzzer_sys::fuzz_target;

static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    [
        frames::corpus::ipv4_packets(),
        frames::corpus::ipv6_packets(),
    ]
    .concat()
});

fuzz_target!(|input: &[u8]| check(input, &[[0x08, 0x00], [0x86, 0xdd]], &CORPUS));
