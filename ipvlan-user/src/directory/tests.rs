use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
        net::UnixListener,
    },
    process,
    time::{Duration, Instant},
};

use super::*;

/// A user without any rights here.
const OTHER: u32 = 65_534;

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let above = tempfile::tempdir().unwrap();
    fs::set_permissions(above.path(), Permissions::from_mode(0o755)).unwrap();
    let path = above.path().join("run");
    (above, path)
}

fn is_root() -> bool {
    let is = Uid::effective().is_root();
    if !is {
        println!("not run: needs root");
    }
    is
}

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

#[test]
fn directory_is_created_with_those_above_it_and_found_again() {
    let (_above, path) = temporary();
    let path = path.join("a/b");
    assert!(Directory::find(&path).unwrap().is_none());
    let created = Directory::create(&path, 0o700).unwrap();
    let found = Directory::find(&path).unwrap().unwrap();
    assert_eq!(created.inode(), found.inode());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
    assert!(found.is_in_place());
    found.remove_if_empty();
    assert!(!path.exists() && !found.is_in_place());
    assert!(path.parent().unwrap().exists());
}

#[test]
fn paths_are_walked_as_the_kernel_walks_them() {
    let (above, path) = temporary();
    fs::create_dir_all(path.join("a")).unwrap();
    symlink("run", above.path().join("relative")).unwrap();
    symlink(&path, above.path().join("absolute")).unwrap();
    symlink("loop", above.path().join("loop")).unwrap();
    let inode = fs::metadata(path.join("a")).unwrap().ino();
    for way in [
        "run/a",
        "relative/a",
        "absolute/a",
        "./run//a/",
        "run/../run/a/../a",
    ] {
        let found = Directory::find(&above.path().join(way)).unwrap().unwrap();
        assert_eq!(found.inode(), inode, "{way}");
    }
    let root = Directory::find(Path::new("/")).unwrap().unwrap();
    assert_eq!(root.inode(), fs::metadata("/").unwrap().ino());
    fs::write(path.join("file"), "").unwrap();
    for (way, errno) in [
        ("loop/a", libc::ELOOP),
        // The last component is never followed.
        ("relative", libc::ELOOP),
        ("loop", libc::ELOOP),
        ("run/file", libc::ENOTDIR),
        ("run/file/a", libc::ENOTDIR),
    ] {
        let error = Directory::find(&above.path().join(way)).unwrap_err();
        assert_eq!(error.os_error(), Some(errno), "{way}: {error:?}");
    }
}

#[test]
fn symbolic_link_of_another_user_is_not_followed_on_the_way() {
    if !is_root() {
        return;
    }
    let (above, path) = temporary();
    fs::create_dir_all(path.join("a")).unwrap();
    let theirs = above.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(OTHER), Some(OTHER)).unwrap();
    // Theirs, and one of root's in their directory, which they may have moved there.
    symlink(&path, theirs.join("link")).unwrap();
    let way = theirs.join("link/a");
    let error = Directory::find(&way).unwrap_err();
    assert!(matches!(error, DirectoryError::Link { .. }), "{error:?}");
    let other = above.path().join("other");
    symlink(&path, &other).unwrap();
    std::os::unix::fs::lchown(&other, Some(OTHER), Some(OTHER)).unwrap();
    let error = Directory::create(&other.join("new"), 0o755).unwrap_err();
    assert!(matches!(error, DirectoryError::Link { owner, .. } if owner.as_raw() == OTHER));
    assert!(!path.join("new").exists());
}

#[test]
fn root_has_the_rights_of_the_owner_in_a_directory_of_another_user() {
    if !is_root() {
        return;
    }
    let (above, path) = temporary();
    fs::create_dir(&path).unwrap();
    let secret = above.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    chown(&path, Some(OTHER), Some(OTHER)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    let directory = Directory::find(&path).unwrap().unwrap();
    let file = directory.create_file(name("file")).unwrap();
    let made = file.metadata().unwrap();
    assert_eq!((made.uid(), made.gid()), (OTHER, OTHER));
    assert_eq!(made.mode() & 0o777, 0o600);
    {
        let _acting = directory.act();
        let error = fs::read(&secret).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        // What is created inside is root's again afterwards.
        let _root = Directory::find(above.path()).unwrap().unwrap().act();
        assert_eq!(fs::read(&secret).unwrap(), b"secret");
    }
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
    assert!(nix::sys::prctl::get_dumpable().unwrap());
    assert_eq!(directory.names().unwrap(), ["file"]);
}

#[test]
fn entries_are_examined_and_opened_without_following_or_waiting() {
    let (above, path) = temporary();
    let directory = Directory::create(&path, 0o755).unwrap();
    let kept = above.path().join("kept");
    fs::write(&kept, "kept").unwrap();
    symlink(&kept, path.join("link")).unwrap();
    fs::hard_link(&kept, path.join("hard")).unwrap();
    fs::create_dir(path.join("directory")).unwrap();
    nix::unistd::mkfifo(&path.join("fifo"), Mode::S_IRWXU).unwrap();
    let _listener = UnixListener::bind(path.join("socket")).unwrap();
    for (entry, reason) in [
        ("link", "it is a symbolic link"),
        ("hard", "it has 2 links"),
        ("directory", "it is a directory"),
        ("fifo", "it is a FIFO"),
        ("socket", "it is a socket"),
    ] {
        let found = directory.examine(name(entry)).unwrap().unwrap();
        let distrusted = directory.distrust(&found, SFlag::S_IFREG);
        assert_eq!(distrusted.as_deref(), Some(reason));
        assert!(directory.open_file(name(entry), &found).is_err(), "{entry}");
    }
    let socket = directory.examine(name("socket")).unwrap().unwrap();
    assert_eq!(directory.distrust(&socket, SFlag::S_IFSOCK), None);
    assert!(directory.examine(name("absent")).unwrap().is_none());
    // Replaced between the examination and the opening.
    drop(directory.create_file(name("file")).unwrap());
    let examined = directory.examine(name("file")).unwrap().unwrap();
    assert!(directory.open_file(name("file"), &examined).is_ok());
    fs::remove_file(path.join("file")).unwrap();
    symlink(&kept, path.join("file")).unwrap();
    assert!(directory.open_file(name("file"), &examined).is_err());
    assert!(!directory.remove_if(name("file"), &examined).unwrap());
    assert!(directory.create_file(name("file")).is_err());
    directory.remove(name("file")).unwrap();
    directory.remove(name("file")).unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
}

#[test]
fn directory_that_is_moved_away_stays_the_one_that_was_opened() {
    let (above, path) = temporary();
    let directory = Directory::create(&path, 0o755).unwrap();
    let moved = above.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    let other = above.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("file"), "kept").unwrap();
    symlink(&other, &path).unwrap();
    drop(directory.create_file(name("file")).unwrap());
    assert!(!directory.is_in_place());
    directory.remove(name("file")).unwrap();
    directory.remove_if_empty();
    assert_eq!(fs::read_to_string(other.join("file")).unwrap(), "kept");
    assert!(moved.exists() && path.exists());
}

#[test]
fn tree_is_removed_with_its_links_and_not_what_they_lead_to() {
    let (above, path) = temporary();
    let directory = Directory::create(&path, 0o755).unwrap();
    let kept = above.path().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), "").unwrap();
    fs::create_dir_all(path.join("tree/a/b")).unwrap();
    fs::write(path.join("tree/a/file"), "").unwrap();
    symlink(&kept, path.join("tree/a/b/link")).unwrap();
    symlink("..", path.join("tree/up")).unwrap();
    symlink(&kept, path.join("link")).unwrap();
    assert_eq!(directory.remove_tree(name("tree")).unwrap(), 3);
    assert_eq!(directory.remove_tree(name("tree")).unwrap(), 0);
    assert_eq!(directory.remove_tree(name("link")).unwrap(), 1);
    assert_eq!(directory.names().unwrap(), [""; 0]);
    assert!(kept.join("file").exists());
    // Deeper than anything of ours.
    fs::create_dir_all(path.join(["d"; 64].join("/"))).unwrap();
    let error = directory.remove_tree(name("d")).unwrap_err();
    assert_eq!(error.os_error(), Some(libc::ELOOP));
}

#[test]
fn guard_is_held_by_one_and_waited_for_until_the_deadline() {
    let (above, path) = temporary();
    let directory = Directory::create(&path, 0o755).unwrap();
    let kept = above.path().join("kept");
    fs::write(&kept, "kept").unwrap();
    for put in ["symlink", "fifo", "readable", "nothing"] {
        let guard = path.join(".guard");
        match put {
            "symlink" => symlink(&kept, &guard).unwrap(),
            "fifo" => nix::unistd::mkfifo(&guard, Mode::S_IRWXU).unwrap(),
            "readable" => {
                fs::write(&guard, "").unwrap();
                fs::set_permissions(&guard, Permissions::from_mode(0o644)).unwrap();
            }
            _ => {}
        }
        let held = Guard::new(&directory, Instant::now()).or_else(|_| {
            // What was in its place is gone after one attempt.
            Guard::new(&directory, Instant::now())
        });
        let held = held.unwrap_or_else(|error| panic!("{put}: {error}"));
        let before = Instant::now();
        let deadline = before + Duration::from_millis(50);
        let error = Guard::new(&directory, deadline).unwrap_err();
        assert!(
            matches!(error, DirectoryError::Locked { holder: Some(pid), .. } if pid == process::id()),
            "{error:?}"
        );
        assert!(Instant::now() >= deadline);
        drop(held);
        assert_eq!(directory.names().unwrap(), [""; 0], "{put}");
    }
    assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
}
