//! Reads a whole hash map in a few system calls: one by one, ten thousand entries are twenty thousand.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use aya::Pod;

/// `BPF_MAP_LOOKUP_BATCH` (Linux 5.6).
const LOOKUP_BATCH: libc::c_int = 24;
/// More than any bucket of the map holds.
const AT_ONCE: usize = 4096;

/// `struct bpf_attr.batch`
#[repr(C)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Everything in a hash map, which must have keys of this type and values of this type.
pub(super) fn read<K, V>(map: BorrowedFd<'_>) -> io::Result<Vec<(K, V)>>
where
    K: Pod + Default,
    V: Pod + Default,
{
    let mut keys = vec![K::default(); AT_ONCE];
    let mut values = vec![V::default(); AT_ONCE];
    // The bucket to go on with.
    let mut bucket = 0_u32;
    let mut is_first = true;
    let mut all = Vec::new();
    loop {
        let place = (&raw mut bucket) as u64;
        let mut batch = Attributes {
            in_batch: if is_first { 0 } else { place },
            out_batch: place,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: u32::try_from(AT_ONCE).map_err(io::Error::other)?,
            map_fd: map.as_raw_fd().cast_unsigned(),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: `batch` and what it points to outlive the call. There is room for `count` keys and
        // values of the sizes that the caller says the map has, all of them plain data.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                LOOKUP_BATCH,
                &raw mut batch,
                size_of::<Attributes>(),
            )
        };
        let is_last = if result == 0 {
            false
        } else {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::ENOENT) {
                return Err(error);
            }
            true
        };
        let count = usize::try_from(batch.count).map_err(io::Error::other)?;
        let read = keys.iter().zip(&values).take(count);
        all.extend(read.map(|(&key, &value)| (key, value)));
        if is_last {
            return Ok(all);
        }
        is_first = false;
    }
}
