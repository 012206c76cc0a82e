//! The TCX programs of an interface, in the order in which they run (`kernel/bpf/mprog.c`).

use std::io;

use ipvlan_common::Hook;

/// `BPF_PROG_QUERY`
const QUERY: libc::c_int = 16;
/// `BPF_TCX_INGRESS`, `BPF_TCX_EGRESS`
const INGRESS: u32 = 46;
const EGRESS: u32 = 47;
/// `BPF_MPROG_MAX`
const MOST: u32 = 64;

/// The part of `union bpf_attr` (`linux/bpf.h`) that the command reads and writes.
#[repr(C)]
struct Attributes {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

const _: () = assert!(size_of::<Attributes>() == 64);

/// Returns the ids of the TCX programs at a hook of an interface of the current netns, in the order in which they
/// run; none before Linux 6.6.
///
/// # Errors
///
/// Whatever else the kernel returns; it takes `CAP_NET_ADMIN`.
pub(super) fn programs(ifindex: u32, hook: Hook) -> io::Result<Vec<u32>> {
    match query(ifindex, hook) {
        // EINVAL: there is no such hook; ENOENT: nothing was ever attached.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {
            Ok(Vec::new())
        }
        ids => ids,
    }
}

/// Returns whether the kernel has these hooks (Linux 6.6).
///
/// # Errors
///
/// Whatever else the kernel returns; it takes `CAP_NET_ADMIN`.
pub(super) fn is_known(ifindex: u32) -> io::Result<bool> {
    match query(ifindex, Hook::Ingress).map_err(|error| (error.raw_os_error(), error)) {
        Ok(_) | Err((Some(libc::ENOENT), _)) => Ok(true),
        Err((Some(libc::EINVAL), _)) => Ok(false),
        Err((_, error)) => Err(error),
    }
}

fn query(ifindex: u32, hook: Hook) -> io::Result<Vec<u32>> {
    let mut ids = vec![0_u32; MOST as usize];
    let mut query = Attributes {
        target_ifindex: ifindex,
        attach_type: match hook {
            Hook::Egress => EGRESS,
            Hook::Ingress | Hook::Xdp => INGRESS,
        },
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        count: MOST,
        padding: 0,
        prog_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: `query` is as long as said and outlives the call, as do the ids, of which the kernel writes at most
    // `count`; what else it could write to is absent.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            QUERY,
            &raw mut query,
            size_of::<Attributes>(),
        )
    };
    if result == 0 {
        ids.truncate(query.count as usize);
        return Ok(ids);
    }
    Err(io::Error::last_os_error())
}
