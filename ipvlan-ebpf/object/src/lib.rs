//! The eBPF objects as bytes, for `aya::EbpfLoader`. All are empty in a build that skipped them
//! (`AYA_BUILD_SKIP=1`). A binary contains the objects that it names, and no byte of the others.

/// The programs of the datapath (`ipvlan-ebpf/src`), which the agent carries.
pub static DATAPATH: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ipvlan-ebpf"));

/// The same programs, which also copy the frames that they count: the agent attaches them while frames are captured.
pub static CAPTURE: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ipvlan-ebpf-capture"));

/// The programs of the tests (`ipvlan-ebpf/lab`): foreign programs beside the agent's, counters and senders.
pub static LAB: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ipvlan-lab-ebpf"));
