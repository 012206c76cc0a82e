//! Which files are read, and all keys; errors and several sources have files of their own.

use std::os::unix::fs::symlink;

use super::*;

mod invalid;
mod sources;

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        fs::create_dir(dir.at(DIRECTORY)).unwrap();
        dir
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, text).unwrap();
        path
    }
}

#[test]
fn every_key_is_read() {
    let dir = Dir::new();
    let text = r#"
        # All keys, at least one of them not at its default.
        iface = ["ens34", 'ens35']
        l2-broadcast = "flood"
        deliver = "redirect"
        dhcp = "off"
        attach = "clsact"
        order = "after"
        xdp = "native"
        host-access = false
        answer-link-local = true
        allow = ["10.0.0.0/8", "2001:db8::/32"]
        deny = ["10.0.0.1"]
        rule = [{ netns = ["blue"], addresses = 100 }]
        dad = "enforce"
        announce = "off"
        defend = "off"
        refresh = 300
        announce-rate = 100
        netns-addresses = 100
        netns-events = 100
        netns-announcements = 100
        netns-groups = 100
        netns-time = 50
        max-addresses = 1_048_576
        max-children = 1
        audit = 86400
        stale-after = 0
        pin = false
        metrics = "127.0.0.1:9469"
        metrics-children = true
        pin-dir = "/sys/fs/bpf/x"
        runtime-dir = "/run/x"
    "#;
    let options = read(&dir.write("config.toml", text)).unwrap();
    // Each field is merged.
    assert_eq!(options.clone().over(Options::default()), options);
    let shown = format!("{options:?}");
    assert!(!shown.contains("None"), "{shown}");
}

#[test]
fn a_file_that_is_too_long_is_not_read_to_its_end() {
    let dir = Dir::new();
    let line = "# 32 bytes of comment, and more\n";
    let long = dir.write("long.toml", line.repeat(1_000_000 / line.len()));
    let error = read(&long).unwrap_err().to_string();
    let expected = format!(
        "{}:{}:1: more than {LIMIT} bytes up to this line",
        long.display(),
        LIMIT / line.len() + 1
    );
    assert_eq!(error, expected);
    let most = dir.write("most.toml", line.repeat(LIMIT / line.len()));
    assert_eq!(read(&most).unwrap(), Options::default());
    let endless = read(Path::new("/dev/zero")).unwrap_err();
    assert!(matches!(endless, ConfigError::TooLong { .. }), "{endless}");
}

#[test]
fn special_files_are_refused_without_blocking() {
    let dir = Dir::new();
    let pipe = dir.at("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [&*pipe, dir.0.path()] {
        let error = read(path).unwrap_err();
        assert!(matches!(error, ConfigError::NotAFile { .. }), "{error}");
    }
    assert_eq!(read(Path::new("/dev/null")).unwrap(), Options::default());
}

#[test]
fn a_missing_file_is_an_error_only_if_it_was_named() {
    let dir = Dir::new();
    let missing = dir.at("config.toml");
    assert_eq!(list(&missing, false).unwrap(), [""; 0].map(PathBuf::from));
    let error = list(&missing, true).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("config.toml"), "{error}");

    // Files of the directory are read without it.
    let beside = dir.write("config.d/1.toml", "audit = 1");
    assert_eq!(list(&missing, false).unwrap(), [beside]);
    // A dangling link is not a missing file.
    symlink("/no/such/file", dir.at("config.d/2.toml")).unwrap();
    let last = list(&missing, false).unwrap().pop().unwrap();
    assert!(matches!(read(&last), Err(ConfigError::Unreadable { .. })));
}
