//! Records of the ring buffer: an event of the record's fields, or none.

#![no_main]

use ipvlan_common::Event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|record: &[u8]| {
    let event = Event::from_record(record);
    assert_eq!(event.is_some(), record.len() == size_of::<Event>());
    if let Some(event) = event {
        assert_eq!(event.mac(), record[16..22]);
        assert_eq!(event.slot().to_ne_bytes(), record[24..28]);
        let _names = (event.kind(), event.hook(), event.address());
    }
});
