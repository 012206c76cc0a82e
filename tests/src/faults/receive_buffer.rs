//! Makes another process's netlink receive buffer tiny, so that the kernel overruns it.
//!
//! A socket belongs to whoever has a descriptor of it: `pidfd_getfd` gives us one of the agent's.

use std::{
    fs,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    errno::Errno,
    sys::socket::{getsockopt, setsockopt, sockopt::RcvBuf},
};

/// Room for a few messages; less the kernel does not give.
const TINY: usize = 2304;
/// Only the one for events has so much room.
const LARGE: usize = 1 << 20;

/// Makes every large one of `process` tiny.
pub(super) fn shrink(process: u32) -> Result<()> {
    let process_fd = open(process)?;
    let mut shrunk = 0;
    let directory = format!("/proc/{process}/fd");
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot list {directory}"))? {
        let entry = entry?;
        let is_socket =
            fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
        let number: Option<RawFd> = entry.file_name().to_string_lossy().parse().ok();
        let (true, Some(number)) = (is_socket, number) else {
            continue;
        };
        let socket = copy(&process_fd, number)?;
        if getsockopt(&socket, RcvBuf).is_ok_and(|room| room >= LARGE) {
            setsockopt(&socket, RcvBuf, &TINY).context("cannot shrink a receive buffer")?;
            shrunk += 1;
        }
    }
    ensure!(shrunk > 0, "the agent has no large receive buffer");
    Ok(())
}

fn open(process: u32) -> Result<OwnedFd> {
    // SAFETY: takes two numbers and gives a descriptor.
    let opened = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) });
    descriptor(opened).with_context(|| format!("cannot open process {process}"))
}

fn copy(process: &OwnedFd, number: RawFd) -> Result<OwnedFd> {
    // SAFETY: takes three numbers and gives a descriptor; `process` is open.
    let copied = Errno::result(unsafe {
        libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0)
    });
    descriptor(copied).with_context(|| format!("cannot copy descriptor {number}"))
}

fn descriptor(made: nix::Result<libc::c_long>) -> Result<OwnedFd> {
    let number = RawFd::try_from(made?)?;
    // SAFETY: the kernel has just made it for us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
