//! Many entries of a hash map in a few system calls: one by one, to read ten thousand takes twenty thousand.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use aya::Pod;

/// `BPF_MAP_LOOKUP_BATCH` (Linux 5.6).
const LOOKUP_BATCH: libc::c_int = 24;
/// `BPF_MAP_UPDATE_BATCH` (Linux 5.6).
const UPDATE_BATCH: libc::c_int = 26;
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
        let is_last = match unsafe { bpf(LOOKUP_BATCH, &mut batch) } {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
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

/// Adds or replaces entries of a hash map, which must have keys of this type and values of this type. Gives
/// which failed, by their place, and why; all others were written.
pub(super) fn write<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    keys: &[K],
    values: &[V],
) -> Vec<(usize, io::Error)> {
    let mut failed = Vec::new();
    let mut at = 0;
    let all = keys.len().min(values.len());
    while at < all {
        let end = all.min(at + AT_ONCE);
        let (written, error) = write_until(map, &keys[at..end], &values[at..end]);
        at += written;
        if let Some(error) = error {
            failed.push((at, error));
            at += 1;
        }
    }
    failed
}

/// Writes as many keys as there are values, in order, up to the first that fails. Gives how many were written, and
/// why the next was not.
fn write_until<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    keys: &[K],
    values: &[V],
) -> (usize, Option<io::Error>) {
    let Ok(count) = u32::try_from(values.len()) else {
        return (0, Some(io::ErrorKind::InvalidInput.into()));
    };
    let mut batch = Attributes {
        in_batch: 0,
        out_batch: 0,
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count,
        map_fd: map.as_raw_fd().cast_unsigned(),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: `batch` and what it points to outlive the call, which only reads `count` keys and values of the
    // sizes that the caller says the map has.
    match unsafe { bpf(UPDATE_BATCH, &mut batch) } {
        Ok(()) => (values.len(), None),
        // What fails before it has looked at any entry leaves the number as it was (`generic_map_update_batch`).
        Err(error) if batch.count >= count => (0, Some(error)),
        Err(error) => (batch.count as usize, Some(error)),
    }
}

/// The system call.
///
/// # Safety
///
/// What `batch` points to must be what the command reads or writes, for as long as the call.
unsafe fn bpf(command: libc::c_int, batch: &mut Attributes) -> io::Result<()> {
    // SAFETY: by the contract; `batch` itself is as long as said.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(batch),
            size_of::<Attributes>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
