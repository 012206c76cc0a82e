//! A filter of a socket, which counts what comes to it and keeps nothing.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::{
    Counter, counting,
    instruction::{Instruction, LOAD_WORD},
    load_as,
};

const PROG_TYPE_SOCKET_FILTER: u32 = 1;
/// Keep no byte of it.
const NOTHING: i32 = 0;

/// A loaded filter.
#[derive(Debug)]
pub struct Filter(OwnedFd);

impl Filter {
    /// One that counts in `counter` what is `length` bytes long with the header of its transport.
    pub fn count(counter: &Counter, length: i32) -> Result<Self> {
        let mut program = vec![Instruction(LOAD_WORD, 0x13, 0, 0)];
        program.extend(counting(counter, length, NOTHING));
        Ok(Self(load_as(PROG_TYPE_SOCKET_FILTER, 0, 0, &program)?))
    }

    /// Gives it to `socket`, for as long as that is open.
    pub fn attach(self, socket: BorrowedFd<'_>) -> Result<()> {
        let descriptor = self.0.as_raw_fd();
        // SAFETY: the option takes a descriptor, which lives through the call, as an int of this size.
        Errno::result(unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_BPF,
                (&raw const descriptor).cast(),
                u32::try_from(size_of_val(&descriptor))?,
            )
        })
        .context("cannot attach a filter to a socket")
        .map(drop)
    }
}
