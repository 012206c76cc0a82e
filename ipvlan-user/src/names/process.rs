//! What can be read of a process of another user with the agent's capabilities: `/proc/PID/{stat,cgroup,comm,cmdline}`.
//!
//! Each read is bounded, and none of a container's process waits: `stat`, `cgroup` and `comm` are kept by the kernel.
//! `cmdline` is memory of the process, which can make a reader wait for it; it is read of processes outside of the
//! container only.

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// How many bytes of a file of a process are read. A path of a cgroup has less than 4096, and version 1 has fourteen
/// hierarchies at most.
const LONGEST: u64 = 64 << 10;

/// `/proc`, or a directory like it.
#[derive(Debug)]
pub(super) struct Processes {
    root: PathBuf,
}

/// What `/proc/PID/stat` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stat {
    /// When it started, in clock ticks since boot.
    pub(super) start: u64,
    /// Id of its parent.
    pub(super) parent: i32,
}

impl Processes {
    /// Takes the path of `/proc`.
    pub(super) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Returns start and parent of a process; none if there is no such process, or it may not be looked at.
    pub(super) fn stat(&self, pid: i32) -> Option<Stat> {
        parse_stat(&self.read(pid, "stat")?)
    }

    /// Returns the lines of `/proc/PID/cgroup`. A line that is cut is left out.
    pub(super) fn cgroup(&self, pid: i32) -> Option<Vec<u8>> {
        let mut text = self.read(pid, "cgroup")?;
        if text.last().is_some_and(|&byte| byte != b'\n') {
            let end = text.iter().rposition(|&byte| byte == b'\n');
            text.truncate(end.map_or(0, |end| end + 1));
        }
        Some(text)
    }

    /// Returns the name of the program that a process runs, as the process has set it.
    pub(super) fn comm(&self, pid: i32) -> Option<Vec<u8>> {
        let mut name = self.read(pid, "comm")?;
        if name.last() == Some(&b'\n') {
            name.pop();
        }
        Some(name).filter(|name| !name.is_empty())
    }

    /// Returns the first arguments of a process. One that is cut is left out.
    pub(super) fn arguments(&self, pid: i32) -> Option<Vec<Vec<u8>>> {
        let text = self.read(pid, "cmdline")?;
        let mut arguments: Vec<_> = text.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
        // What follows the last NUL.
        arguments.pop();
        Some(arguments)
    }

    fn read(&self, pid: i32, file: &str) -> Option<Vec<u8>> {
        read_start(&self.root.join(pid.to_string()).join(file), LONGEST)
    }
}

/// Reads the first bytes of a file; none if it cannot be opened or read.
pub(super) fn read_start(path: &Path, longest: u64) -> Option<Vec<u8>> {
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .ok()?;
    let mut bytes = Vec::new();
    file.take(longest).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Parses `PID (COMM) STATE PPID …`. The name may contain parentheses and spaces: fields are counted from behind the
/// last parenthesis. The start is field 22 (`proc_pid_stat(5)`).
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let rest = str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some(Stat { start, parent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_and_parent_are_read_behind_any_name() {
        let fields = "S 41 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 99 88";
        for name in ["sh", "a b", ") S 1 1", "((", "\u{1b}[31m"] {
            let text = format!("944 ({name}) {fields}\n");
            let stat = Stat {
                start: 123_456,
                parent: 41,
            };
            assert_eq!(parse_stat(text.as_bytes()), Some(stat), "{name}");
        }
        for text in [
            "",
            "944",
            "944 (sh)",
            "944 (sh) S",
            "944 (sh) S 41",
            "944 (sh) S 41 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0",
            "944 (sh) S x 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 5 9",
        ] {
            assert_eq!(parse_stat(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn this_process_is_read() {
        let processes = Processes::new("/proc".into());
        let pid = std::process::id().cast_signed();
        let stat = processes.stat(pid).unwrap();
        assert_eq!(
            stat.parent,
            std::os::unix::process::parent_id().cast_signed()
        );
        assert!(stat.start > 0);
        assert!(!processes.comm(pid).unwrap().is_empty());
        assert!(!processes.cgroup(pid).unwrap().is_empty());
        let arguments: Vec<_> = std::env::args().map(String::into_bytes).collect();
        assert_eq!(processes.arguments(pid), Some(arguments));
        // No process has this id (`PID_MAX_LIMIT`).
        assert_eq!(processes.stat(1 << 22 | 1), None);
    }
}
