//! Which processes hold a `flock(2)`, and whether they are of a user that agents run as.

use std::fs;

use nix::unistd::Uid;

use super::Directory;

/// A process that holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The user that started it; none if it does not run any more, or cannot be seen.
    pub user: Option<Uid>,
}

impl Holder {
    /// Returns whether it can be an agent that keeps its files in this directory: it runs, and it was
    /// started by a user who may have an agent here.
    #[must_use]
    pub fn is_trusted_in(&self, directory: &Directory) -> bool {
        self.user.is_some_and(|user| directory.trusts(user))
    }
}

/// Returns the processes that hold a `flock` on the file with this inode number, as far as `/proc/locks`
/// shows them: it has no processes of other pid namespaces.
#[must_use]
pub fn holders(inode: u64) -> Vec<Holder> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    pids(&locks, inode)
        .map(|pid| Holder {
            pid,
            user: user_of(pid),
        })
        .collect()
}

fn pids(locks: &str, inode: u64) -> impl Iterator<Item = u32> {
    locks.lines().filter_map(move |line| {
        // 1: FLOCK  ADVISORY  WRITE 4242 00:1d:17 0 EOF
        let mut words = line.split_whitespace().skip(1);
        if words.next()? != "FLOCK" {
            return None;
        }
        let pid = words.nth(2)?.parse().ok()?;
        let (_, held) = words.next()?.rsplit_once(':')?;
        (held.parse() == Ok(inode) && pid != 0).then_some(pid)
    })
}

/// Returns the real uid of a process. The owner of `/proc/PID` would not do: it is root for every process
/// that is not dumpable, and the effective uid is root's in a set-uid program.
fn user_of(pid: u32) -> Option<Uid> {
    real_uid(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn real_uid(status: &str) -> Option<Uid> {
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let real = uids.split_whitespace().next()?.parse().ok()?;
    Some(Uid::from_raw(real))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_of_a_lock_are_found_among_others() {
        let locks = "1: POSIX  ADVISORY  WRITE 10 00:1d:17 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 20 00:1d:16 0 EOF\n\
                     3: FLOCK  ADVISORY  READ  30 00:1d:17 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 40 00:1d:17 0 EOF\n\
                     4: FLOCK  ADVISORY  READ  50 00:1d:17 0 EOF\n";
        assert_eq!(pids(locks, 17).collect::<Vec<_>>(), [30, 50]);
        assert_eq!(pids(locks, 18).count(), 0);
        assert_eq!(pids("nonsense\n\n1:\n", 17).count(), 0);
    }

    #[test]
    fn user_of_a_process_is_the_one_that_started_it() {
        assert_eq!(user_of(std::process::id()), Some(Uid::current()));
        let setuid = "Name:\tsu\nUid:\t1000\t0\t0\t0\nGid:\t0\t0\t0\t0\n";
        assert_eq!(real_uid(setuid), Some(Uid::from_raw(1000)));
        assert_eq!(real_uid("Name:\tx\nUid:\t\n"), None);
    }
}
