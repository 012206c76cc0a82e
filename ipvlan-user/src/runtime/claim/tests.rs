use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, symlink},
};

use super::*;

fn directory() -> (tempfile::TempDir, PathBuf) {
    let above = tempfile::tempdir().unwrap();
    let path = above.path().join("run");
    (above, path)
}

#[test]
fn second_claim_names_the_owner_and_a_dropped_one_leaves_nothing() {
    let (_above, dir) = directory();
    let claim = Claim::new(&dir, 1, "ens34", 7).unwrap();
    let other = Claim::new(&dir, 2, "ens34", 7).unwrap();
    match Claim::new(&dir, 1, "ens34", 7).unwrap_err() {
        ClaimError::Taken { parent, owner } => {
            assert_eq!((parent.as_str(), owner), ("ens34", Some(process::id())));
        }
        error @ ClaimError::File { .. } => panic!("{error}"),
    }
    let lock = fs::metadata(dir.join("1-7.lock")).unwrap();
    assert_eq!(lock.mode() & 0o777, 0o600);
    drop(claim);
    drop(Claim::new(&dir, 1, "ens34", 7).unwrap());
    drop(other);
    assert!(!dir.exists());
}

#[test]
fn whatever_is_in_the_place_of_a_lock_file_is_replaced_and_what_it_leads_to_is_not_touched() {
    type Put = fn(&Path, &Path);
    let rows: [(&str, Put); 7] = [
        ("a symbolic link", |at, kept| symlink(kept, at).unwrap()),
        ("a symbolic link to nothing", |at, kept| {
            symlink(kept.with_file_name("absent"), at).unwrap();
        }),
        ("a hard link", |at, kept| fs::hard_link(kept, at).unwrap()),
        ("a FIFO", |at, _| {
            nix::unistd::mkfifo(at, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("a socket", |at, _| {
            drop(std::os::unix::net::UnixListener::bind(at).unwrap());
        }),
        ("what an agent left that was killed", |at, _| {
            fs::write(at, "1\n").unwrap();
        }),
        ("no number", |at, _| fs::write(at, [0xff; 4096]).unwrap()),
    ];
    for (what, put) in rows {
        let (above, dir) = directory();
        let kept = above.path().join("kept");
        fs::write(&kept, "kept").unwrap();
        fs::create_dir(&dir).unwrap();
        put(&dir.join("1-7.lock"), &kept);
        let claim =
            Claim::new(&dir, 1, "ens34", 7).unwrap_or_else(|error| panic!("{what}: {error}"));
        let lock = fs::symlink_metadata(dir.join("1-7.lock")).unwrap();
        assert!(lock.is_file() && lock.nlink() == 1, "{what}");
        assert_eq!(fs::read_to_string(&kept).unwrap(), "kept", "{what}");
        assert!(!above.path().join("absent").exists(), "{what}");
        drop(claim);
        assert!(!dir.exists(), "{what}");
        assert_eq!(fs::metadata(&kept).unwrap().nlink(), 1, "{what}");
    }
}

#[test]
fn directory_in_the_place_of_a_lock_file_is_an_error_that_names_it() {
    let (_above, dir) = directory();
    fs::create_dir_all(dir.join("1-7.lock/sub")).unwrap();
    let error = Claim::new(&dir, 1, "ens34", 7).unwrap_err();
    assert!(format!("{error}").contains("1-7.lock"), "{error}");
    assert!(dir.join("1-7.lock/sub").exists());
}

#[test]
fn directory_that_others_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_above, dir) = directory();
    fs::create_dir(&dir).unwrap();
    for mode in [0o777, 0o775, 0o757] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
        let error = Claim::new(&dir, 1, "ens34", 7).unwrap_err();
        assert!(error.hint().contains("chmod go-w"), "{error}");
    }
}

#[test]
fn lock_of_a_running_agent_counts_whatever_mode_the_file_has() {
    let (_above, dir) = directory();
    fs::create_dir(&dir).unwrap();
    // An agent of a version before this one.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(dir.join("1-7.lock"))
        .unwrap();
    let _lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
    let error = Claim::new(&dir, 1, "ens34", 7).unwrap_err();
    assert!(
        matches!(error, ClaimError::Taken { owner: Some(pid), .. } if pid == process::id()),
        "{error}"
    );
}

#[test]
fn many_that_claim_at_once_are_one_owner_and_the_others_are_refused() {
    let (_above, dir) = directory();
    fs::create_dir(&dir).unwrap();
    // Keeps the directory.
    let _other = Claim::new(&dir, 2, "ens35", 8).unwrap();
    for _ in 0..20 {
        fs::write(dir.join("1-7.lock"), "1\n").unwrap();
        let claims: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Claim::new(&dir, 1, "ens34", 7)))
                .collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(
            claims.iter().filter(|it| it.is_ok()).count(),
            1,
            "{claims:?}"
        );
    }
}

#[test]
fn only_names_of_lock_files_are_names_of_lock_files() {
    let name = LockName {
        netns: 4_026_531_840,
        ifindex: 2,
    };
    assert_eq!(name.file(), "4026531840-2.lock");
    assert_eq!(LockName::parse(&name.file()), Some(name));
    for file in [
        "",
        ".lock",
        "-.lock",
        "1-2",
        "1.lock",
        "+1-2.lock",
        "1-+2.lock",
        "01-2.lock",
        "1-2-3.lock",
        "1-2.lock.lock",
        " 1-2.lock",
        "1-99999999999.lock",
    ] {
        assert_eq!(LockName::parse(OsStr::new(file)), None, "{file}");
    }
}
