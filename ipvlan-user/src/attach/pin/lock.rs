//! Who holds a lock.

use std::fs;

/// The process that holds a `flock` on the file with this inode number (`/proc/locks`).
pub(super) fn owner_of_lock(inode: u64) -> Option<u32> {
    lock_holder(&fs::read_to_string("/proc/locks").ok()?, inode)
}

fn lock_holder(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found_among_others() {
        let locks = "1: POSIX  ADVISORY  WRITE 10 00:1d:17 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 20 00:1d:16 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 30 00:1d:17 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 40 00:1d:17 0 EOF\n";
        assert_eq!(lock_holder(locks, 17), Some(30));
        assert_eq!(lock_holder(locks, 18), None);
        assert_eq!(lock_holder("nonsense\n\n1:\n", 17), None);
    }
}
