//! The eBPF objects as bytes, for `aya::EbpfLoader`. Both are empty in a build that skipped them
//! (`AYA_BUILD_SKIP=1`). A binary contains the objects that it names, and no byte of the other.

/// The programs of the datapath (`ipvlan-ebpf/src`), which the agent carries.
pub static DATAPATH: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ipvlan-ebpf"));

/// The programs of the tests (`ipvlan-ebpf/lab`): foreign programs beside the agent's, counters and senders.
pub static LAB: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ipvlan-lab-ebpf"));
