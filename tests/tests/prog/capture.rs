//! Programs that capture: the same verdicts, and a record of each frame that is counted.

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use ipvlan_common::{CaptureHeader, maps};
use ipvlan_model::prelude::*;

/// Bytes of a frame that the tests capture.
const LENGTH: u32 = 64;

/// A datapath whose programs capture.
struct Capturing {
    datapath: Datapath,
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
    length: Array<MapData, u32>,
}

impl Capturing {
    fn new() -> Self {
        let mut datapath = Datapath::capturing();
        datapath.install(config(L3), &entries());
        let mut length: Array<_, u32> = datapath.take_map(maps::CAPTURE_LENGTH).try_into().unwrap();
        length.set(0, LENGTH, 0).unwrap();
        Self {
            ring: datapath.take_map(maps::CAPTURE).try_into().unwrap(),
            lost: datapath.take_map(maps::CAPTURE_LOST).try_into().unwrap(),
            length,
            datapath,
        }
    }

    fn records(&mut self) -> Vec<(CaptureHeader, Vec<u8>)> {
        let mut records = Vec::new();
        while let Some(record) = self.ring.next() {
            let (header, data) = CaptureHeader::from_record(&record).expect("a record with a head");
            records.push((header, data.to_vec()));
        }
        records
    }

    fn lost(&self) -> u64 {
        self.lost.get(&0, 0).unwrap().iter().sum()
    }
}

/// What a test does with a frame: its verdict is that of the programs that do not capture, and the record has the frame
/// as the program left it.
#[test]
fn each_counted_frame_is_recorded_as_it_leaves_with_its_reason_and_child() {
    let mut capturing = Capturing::new();
    let mut usual = Datapath::load();
    usual.install(config(L3), &entries());
    let long = [Message::ask(CHILD_IP.into()).frame(), vec![0; 500]].concat();
    let frames = [
        (Message::ask(CHILD_IP.into()).frame(), Reason::ArpAnswered),
        (Message::ask(CHILD_IP6.into()).frame(), Reason::NdAnswered),
        (Message::ask(HOST_IP.into()).frame(), Reason::HostAddress),
        (Message::ask(FOREIGN_IP.into()).frame(), Reason::NotOurs),
        (long, Reason::ArpAnswered),
    ];
    for &program in &[TC_INGRESS, XDP].concat() {
        for (frame, reason) in &frames {
            let name = program.name();
            let outcome = capturing.datapath.run(program, frame, MARK).expect("run");
            let expected = usual.run(program, frame, MARK).expect("run");
            assert_eq!(
                (outcome.code, &outcome.frame),
                (expected.code, &expected.frame),
                "{name}"
            );
            let records = capturing.records();
            let [(header, data)] = &records[..] else {
                panic!("{name}: {} records of one frame", records.len());
            };
            assert_eq!(
                (header.hook(), header.reason()),
                (Some(program.hook()), *reason),
                "{name}"
            );
            assert_eq!(header.len as usize, outcome.frame.len(), "{name}");
            let start = &outcome.frame[..outcome.frame.len().min(LENGTH as usize)];
            assert_eq!(data, start, "{name}");
            let answered = matches!(reason, Reason::ArpAnswered | Reason::NdAnswered);
            assert_eq!(
                header.slot != AddressEntry::NO_SLOT,
                answered,
                "{name} {reason:?}"
            );
            assert!(header.time > 0);
        }
    }
    assert_eq!(capturing.lost(), 0);
}

#[test]
fn a_frame_that_is_not_looked_at_is_not_recorded_and_no_length_records_nothing() {
    let mut capturing = Capturing::new();
    let ip = vec![0; 60];
    capturing
        .datapath
        .run(Program::Ingress, &ip, MARK)
        .expect("run");
    assert_eq!(capturing.records(), []);
    capturing.length.set(0, 0, 0).unwrap();
    let request = Message::ask(CHILD_IP.into()).frame();
    let outcome = capturing
        .datapath
        .run(Program::Ingress, &request, MARK)
        .expect("run");
    assert_eq!(outcome.code, Act::Send.code(Program::Ingress));
    assert_eq!(capturing.records(), []);
}

#[test]
fn a_full_ring_buffer_changes_no_verdict_and_is_counted() {
    const FRAMES: u32 = 20_000;
    let mut capturing = Capturing::new();
    let foreign = Message::ask(FOREIGN_IP.into()).frame();
    let outcome = capturing
        .datapath
        .repeat(Program::Ingress, &foreign, MARK, FRAMES)
        .expect("run");
    assert_eq!(outcome.code, Act::Pass.code(Program::Ingress));
    let lost = capturing.lost();
    let recorded = capturing.records().len() as u64;
    assert!(
        lost > 0 && recorded > 1_000,
        "{lost} lost, {recorded} recorded"
    );
    assert_eq!(lost + recorded, u64::from(FRAMES));
    // It is used again.
    capturing
        .datapath
        .run(Program::Ingress, &foreign, MARK)
        .expect("run");
    assert_eq!(capturing.records().len(), 1);
}
