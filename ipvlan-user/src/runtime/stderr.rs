//! Standard error that never blocks: a line that its reader does not take is lost, and the next one reports how many
//! were.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    sync::atomic::{AtomicU64, Ordering},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

static LOST: AtomicU64 = AtomicU64::new(0);
/// Number of bytes that a writable pipe takes without blocking (`PIPE_BUF`).
const AT_ONCE: usize = 4096;

/// Standard error for the log. Writing never blocks and never fails.
#[derive(Debug)]
pub struct Stderr(io::Stderr);

impl Stderr {
    /// Returns standard error of this process.
    #[must_use]
    pub fn new() -> Self {
        Self(io::stderr())
    }
}

impl Default for Stderr {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write_line(&mut self.0.lock(), line, &LOST);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_line(to: &mut (impl Write + AsFd), line: &[u8], lost: &AtomicU64) {
    let before = lost.swap(0, Ordering::Relaxed);
    let mut written = true;
    if before > 0 {
        let report = format!("{before} lines of the log were lost: they were not read\n");
        written = write_at_once(to, report.as_bytes());
    }
    if !written {
        lost.fetch_add(before, Ordering::Relaxed);
    }
    if !written || !write_at_once(to, line) {
        lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes as much of `text` as possible without blocking. Returns whether that was all of it.
fn write_at_once(to: &mut (impl Write + AsFd), text: &[u8]) -> bool {
    text.chunks(AT_ONCE)
        .all(|part| is_writable(&*to) && to.write_all(part).is_ok())
}

fn is_writable(to: &impl AsFd) -> bool {
    let mut wait = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
    let found = poll(&mut wait, PollTimeout::ZERO);
    let writable = |wait: &PollFd<'_>| {
        let seen = wait.revents().unwrap_or(PollFlags::empty());
        seen.contains(PollFlags::POLLOUT)
    };
    found.is_ok() && wait.iter().all(writable)
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Read as _};

    use super::*;

    #[test]
    fn a_full_pipe_loses_lines_and_reports_them_when_it_is_read_again() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let lost = AtomicU64::new(0);
        let line = [b'x'; 1000];
        while lost.load(Ordering::Relaxed) < 3 {
            write_line(&mut writer, &line, &lost);
        }
        let mut taken = vec![0; 1 << 16];
        let length = reader.read(&mut taken).unwrap();
        assert!(length > AT_ONCE);
        write_line(&mut writer, b"last\n", &lost);
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        let end = "3 lines of the log were lost: they were not read\nlast\n";
        assert!(rest.ends_with(end), "{rest}");
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_full_disk_loses_lines() {
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let lost = AtomicU64::new(0);
        for _ in 0..2 {
            write_line(&mut full, b"line\n", &lost);
        }
        assert_eq!(lost.load(Ordering::Relaxed), 2);
    }
}
