//! The system call `bpf`, and what it reads and writes.

use std::os::fd::{AsRawFd as _, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context as _, Result};
use nix::errno::Errno;

const MAP_CREATE: libc::c_long = 0;
pub(super) const MAP_LOOKUP_ELEM: libc::c_long = 1;
pub(super) const MAP_UPDATE_ELEM: libc::c_long = 2;
pub(super) const PROG_LOAD: libc::c_long = 5;
pub(super) const OBJ_PIN: libc::c_long = 6;
pub(super) const PROG_TEST_RUN: libc::c_long = 10;
pub(super) const PROG_GET_FD_BY_ID: libc::c_long = 13;
pub(super) const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
pub(super) const PROG_QUERY: libc::c_long = 16;
pub(super) const LINK_CREATE: libc::c_long = 28;

// Beginnings of `union bpf_attr` (`linux/bpf.h`), one for each command. The kernel takes a shorter one
// for one whose rest is zero.

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    rest: [u32; 14],
}

#[repr(C)]
pub(super) struct Pin {
    pub(super) pathname: u64,
    pub(super) bpf_fd: u32,
    pub(super) file_flags: u32,
}

#[repr(C)]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[derive(Default)]
#[repr(C)]
pub(super) struct ProgLoad {
    pub(super) prog_type: u32,
    pub(super) insn_cnt: u32,
    pub(super) insns: u64,
    pub(super) license: u64,
    pub(super) log_level: u32,
    pub(super) log_size: u32,
    pub(super) log_buf: u64,
    pub(super) kern_version: u32,
    pub(super) prog_flags: u32,
    pub(super) prog_name: [u8; 16],
    pub(super) prog_ifindex: u32,
    pub(super) expected_attach_type: u32,
}

#[derive(Default)]
#[repr(C)]
pub(super) struct TestRun {
    pub(super) prog_fd: u32,
    pub(super) retval: u32,
    pub(super) data_size_in: u32,
    pub(super) data_size_out: u32,
    pub(super) data_in: u64,
    pub(super) data_out: u64,
    pub(super) repeat: u32,
    pub(super) duration: u32,
    pub(super) ctx_size_in: u32,
    pub(super) ctx_size_out: u32,
    pub(super) ctx_in: u64,
    pub(super) ctx_out: u64,
    pub(super) flags: u32,
    pub(super) cpu: u32,
    pub(super) batch_size: u32,
    pub(super) padding: u32,
}

#[derive(Default)]
#[repr(C)]
pub(super) struct ProgById {
    pub(super) id: u32,
    pub(super) next_id: u32,
    pub(super) open_flags: u32,
}

#[repr(C)]
pub(super) struct ObjectInfo {
    pub(super) bpf_fd: u32,
    pub(super) info_len: u32,
    pub(super) info: u64,
}

#[repr(C)]
pub(super) struct LinkCreate {
    pub(super) prog_fd: u32,
    pub(super) target_ifindex: u32,
    pub(super) attach_type: u32,
    pub(super) flags: u32,
    pub(super) rest: [u64; 6],
}

/// The call itself; `attributes` is what `command` reads and writes.
pub(super) fn bpf<T>(command: libc::c_long, attributes: &mut T) -> nix::Result<libc::c_long> {
    // SAFETY: `attributes` is a beginning of `union bpf_attr` for this command and as long as said;
    // what it points to lives in the caller, through the call, and is as large as it says.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    })
}

/// Makes a map of this type.
pub(super) fn map(
    map_type: u32,
    [key_size, value_size]: [usize; 2],
    max_entries: u32,
) -> Result<OwnedFd> {
    let mut attributes = MapCreate {
        map_type,
        key_size: u32::try_from(key_size)?,
        value_size: u32::try_from(value_size)?,
        max_entries,
        rest: [0; 14],
    };
    descriptor(bpf(MAP_CREATE, &mut attributes).context("cannot make a map")?)
}

/// Reads or writes an element of a map, as `command` says.
pub(super) fn element<K, V>(
    command: libc::c_long,
    map: &OwnedFd,
    key: &K,
    value: &mut V,
) -> nix::Result<()> {
    let mut attributes = Element {
        map_fd: word(map.as_raw_fd()),
        padding: 0,
        key: std::ptr::from_ref(key) as u64,
        value: std::ptr::from_mut(value) as u64,
        flags: 0,
    };
    bpf(command, &mut attributes).map(drop)
}

/// A descriptor that the kernel has just made.
pub(crate) fn descriptor(number: libc::c_long) -> Result<OwnedFd> {
    let number = RawFd::try_from(number)?;
    // SAFETY: the kernel has just made it for us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A descriptor, as the kernel takes it.
pub(super) fn word(descriptor: RawFd) -> u32 {
    descriptor.cast_unsigned()
}
