use std::os::unix::fs::symlink;

use super::*;
use crate::{
    config::{Loaded, Source},
    model::Rule,
};

/// A directory of its own, removed when dropped.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let name = format!("ipvlan-config-{name}-{}", std::process::id());
        let dir = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(dir.0.join(DIRECTORY)).unwrap();
        dir
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _: io::Result<()> = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_key_is_read() {
    let dir = Dir::new("all");
    let text = r#"
        # All of them, one at least not as it would be anyway.
        iface = ["ens34", 'ens35']
        l2-broadcast = "flood"
        deliver = "redirect"
        attach = "clsact"
        xdp = "native"
        host-access = false
        answer-link-local = true
        allow = ["10.0.0.0/8", "2001:db8::/32"]
        deny = ["10.0.0.1"]
        rule = [{ netns = ["blue"], addresses = 100 }]
        dad = "enforce"
        announce = "off"
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
        pin-dir = "/sys/fs/bpf/x"
        runtime-dir = "/run/x"
    "#;
    let options = read(&dir.write("config.toml", text)).unwrap();
    // None is left out.
    assert_eq!(options.clone().over(Options::default()), options);
    let shown = format!("{options:?}");
    assert!(!shown.contains("None"), "{shown}");
}

/// The text, where, which key, and what is said of it.
const WRONG: [(&[u8], &str, Option<&str>, &str); 40] = [
    (
        b"ifaces = [\"a\"]\n",
        "1:1",
        Some("ifaces"),
        "unknown field `ifaces`",
    ),
    (b"\n\n  x = 1", "3:3", Some("x"), "unknown field `x`"),
    (
        b"[agent]\naudit = 1",
        "1:2",
        Some("agent"),
        "unknown field `agent`",
    ),
    (b"audit = 1\naudit = 2", "2:1", None, "duplicate key"),
    (
        b"iface = \"ens34\"",
        "1:9",
        Some("iface"),
        "invalid type: string",
    ),
    (
        b"iface = [1]",
        "1:10",
        Some("iface"),
        "invalid type: integer `1`",
    ),
    (
        b"iface = [\"ens34\",\n  \"a\\u0000b\"]",
        "2:3",
        Some("iface"),
        "'\\0' cannot be in an interface name",
    ),
    (
        b"iface = [\"\"]",
        "1:10",
        Some("iface"),
        "not an interface name",
    ),
    (
        b"iface = [\"sixteen-letters!\"]",
        "1:10",
        Some("iface"),
        "longer than 15 bytes",
    ),
    (
        b"iface = [\"/sys/class/net/a\"]",
        "1:10",
        Some("iface"),
        "'/' cannot be in an interface name",
    ),
    (b"iface = [\"a\0b\"]", "1:12", None, ""),
    (b"iface = [\"\xff\"]", "1:11", None, "not UTF-8 text"),
    (b"iface = [\"a\"", "1:13", None, ""),
    (b"dad warn", "1:5", None, ""),
    (
        b"# \xc3\xbc\ndad = \"maybe\"",
        "2:7",
        Some("dad"),
        "`maybe` is none of `off`, `optimistic`, `strict`",
    ),
    (
        b"announce = true",
        "1:12",
        Some("announce"),
        "invalid type: boolean `true`",
    ),
    (
        b"pin = \"yes\"",
        "1:7",
        Some("pin"),
        "invalid type: string \"yes\"",
    ),
    (
        b"host-access = 1",
        "1:15",
        Some("host-access"),
        "invalid type: integer `1`",
    ),
    (
        b"allow = [\"10.0.0.0/8\", \"10.0.0.1/8\"]",
        "1:24",
        Some("allow"),
        "10.0.0.0/8 is meant",
    ),
    (
        b"deny = [\"10.0.0.0/33\"]",
        "1:9",
        Some("deny"),
        "`33` is not a length from 0 to 32",
    ),
    (
        b"max-addresses = 0",
        "1:17",
        Some("max-addresses"),
        "0 is not in 1..=1048576",
    ),
    (
        b"max-children = -1",
        "1:16",
        Some("max-children"),
        "-1 is not in 1..=1048576",
    ),
    (
        b"audit = 86401",
        "1:9",
        Some("audit"),
        "86401 is not in 1..=86400",
    ),
    (
        b"stale-after = 1.5",
        "1:15",
        Some("stale-after"),
        "invalid type: floating point",
    ),
    (
        b"stale-after = 1",
        "1:15",
        Some("stale-after"),
        "1 is too short for an agent to sync in time: the smallest value is 2, or 0 without limit",
    ),
    (
        b"stale-after = 31536001",
        "1:15",
        Some("stale-after"),
        "31536001 is too long: the largest value is 31536000",
    ),
    (b"rule = 1", "1:8", Some("rule"), "expected a sequence"),
    (
        b"[rule]\nallow = [\"::/0\"]",
        "1:1",
        Some("rule"),
        "invalid type: map",
    ),
    (
        b"[[rule]]\n[[rule]]\n netnss = [\"blue\"]",
        "3:2",
        Some("rule.netnss"),
        "unknown field `netnss`, expected one of `netns`, `name`",
    ),
    (
        b"[[rule]]\n[[rule]]\nnetns = \"blue\"",
        "3:9",
        Some("rule.netns"),
        "invalid type: string \"blue\", expected a sequence",
    ),
    (
        b"[[rule]]\nnetns = [\"red\",\n  \"[a\"]",
        "3:3",
        Some("rule.netns"),
        "`[a`: invalid range pattern",
    ),
    (
        b"[[rule]]\nparent = [\"\"]",
        "2:11",
        Some("rule.parent"),
        "matches no name",
    ),
    (
        b"[[rule]]\nallow = []",
        "2:9",
        Some("rule.allow"),
        "the list is empty",
    ),
    (
        b"[[rule]]\nnetns = [\"a\"]\ndeny = [\"10.0.0.1/8\"]",
        "3:9",
        Some("rule.deny"),
        "10.0.0.0/8 is meant",
    ),
    (
        b"rule = [{ netns = [\"a\"], addresses = 0 }]",
        "1:38",
        Some("rule.addresses"),
        "0 is not in 1..=1048576",
    ),
    (
        b"[[rule]]\nanswer = \"no\"",
        "2:10",
        Some("rule.answer"),
        "invalid type: string \"no\", expected a boolean",
    ),
    (
        b"[[rule]]\n[[rule]]\nname = [\"eth0\"]\nallow = [\"::/0\"]",
        "4:9",
        Some("rule.allow"),
        "a container can rename its link",
    ),
    (
        b"[[rule]]\nname = [\"eth0\"]\nnetns = [\"*\"]\nnext-hop = true",
        "4:12",
        Some("rule.next-hop"),
        "a container can rename its link",
    ),
    (
        b"rule = [{ parent = [\"ens34\"], addresses = 9 }]",
        "1:43",
        Some("rule.addresses"),
        "match by `netns` alone",
    ),
    (
        b"runtime-dir = [\"/run\"]",
        "1:15",
        Some("runtime-dir"),
        "invalid type: sequence",
    ),
];

#[test]
fn what_is_wrong_is_told_with_file_line_column_and_key() {
    let dir = Dir::new("wrong");
    for (text, place, key, says) in WRONG {
        let path = dir.write("config.toml", text);
        let shown = String::from_utf8_lossy(text);
        let error = read(&path).unwrap_err();
        let begins = format!("{}:{place}: ", path.display());
        let error_text = error.to_string();
        assert!(error_text.starts_with(&begins), "{shown}\n{error_text}");
        assert!(error_text.contains(says), "{shown}\n{error_text}");
        assert!(!error_text.contains('\n'), "{error_text}");
        let ConfigError::Invalid { key: of, .. } = error else {
            panic!("{error_text}");
        };
        assert_eq!(of.as_deref(), key, "{shown}\n{error_text}");
    }
}

#[test]
fn a_file_that_is_too_long_is_not_read_to_its_end() {
    let dir = Dir::new("long");
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
fn what_is_no_file_is_refused_and_holds_nothing_up() {
    let dir = Dir::new("kinds");
    let pipe = dir.0.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [&pipe, &dir.0] {
        let error = read(path).unwrap_err();
        assert!(matches!(error, ConfigError::NotAFile { .. }), "{error}");
    }
    assert_eq!(read(Path::new("/dev/null")).unwrap(), Options::default());
}

#[test]
fn files_are_read_in_order_and_the_command_line_last() {
    let dir = Dir::new("order");
    let main = dir.write(
        "config.toml",
        "iface = [\"a\"]\naudit = 1\ndeny = [\"10.0.0.1\"]\nmax-children = 1",
    );
    let later = dir.write("config.d/20-b.toml", "audit = 20\ndeny = [\"10.0.0.2\"]");
    let first = dir.write("config.d/10-a.toml", "audit = 10\nmax-addresses = 10");
    for ignored in ["config.d/30.conf", "config.d/.40.toml", "config.d/50.toml~"] {
        dir.write(ignored, "audit = 99");
    }
    let mut source = Source {
        file: Some(main.clone()),
        overrides: Options::default(),
    };
    let Loaded { settings, files } = source.load().unwrap();
    assert_eq!(files, [main, first, later]);
    assert_eq!(settings.parents, ["a"]);
    assert_eq!(settings.audit.as_secs(), 20);
    assert_eq!(settings.attach.max_addresses, 10);
    assert_eq!(settings.attach.max_children, 1);
    // A list is replaced as a number is.
    assert_eq!(settings.policy.deny, ["10.0.0.2".parse().unwrap()]);

    source.overrides = Options {
        iface: Some(vec!["b".parse().unwrap()]),
        audit: Some(30),
        ..Options::default()
    };
    let Loaded { settings, .. } = source.load().unwrap();
    assert_eq!(settings.parents, ["b"]);
    assert_eq!(settings.audit.as_secs(), 30);
    assert_eq!(settings.attach.max_addresses, 10);
}

#[test]
fn rules_of_all_files_apply_in_the_order_of_reading() {
    let dir = Dir::new("rules");
    let main = dir.write(
        "config.toml",
        "iface = [\"a\"]\n\n[[rule]]\nnetns = [\"cni-*\", \"/run/x\"]\nname = [\"eth[0-9]\"]\n\
         parent = [\"ens*\"]\nallow = [\"10.1.0.0/16\"]\ndeny = [\"10.1.0.1\"]\nnext-hop = true\n\n\
         [[rule]]\nnetns = [\"quiet\"]\nanswer = false\n",
    );
    dir.write("config.d/1.toml", "audit = 7\n");
    let beside = dir.write("config.d/2.toml", "rule = [\n { addresses = 7 },\n]\n");
    let source = Source {
        file: Some(main.clone()),
        overrides: Options::default(),
    };
    let Loaded { settings, .. } = source.load().unwrap();
    let globs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let expected = [
        Rule {
            place: format!("{}:3", main.display()),
            netns: globs(&["cni-*", "/run/x"]),
            name: globs(&["eth[0-9]"]),
            parent: globs(&["ens*"]),
            allow: vec!["10.1.0.0/16".parse().unwrap()],
            deny: vec!["10.1.0.1".parse().unwrap()],
            next_hop: true,
            ..Rule::default()
        },
        Rule {
            place: format!("{}:11", main.display()),
            netns: globs(&["quiet"]),
            answer: false,
            ..Rule::default()
        },
        Rule {
            place: format!("{}:2", beside.display()),
            addresses: Some(7),
            ..Rule::default()
        },
    ];
    assert_eq!(settings.policy.rules, expected);
}

#[test]
fn a_missing_file_is_an_error_only_if_it_was_named() {
    let dir = Dir::new("missing");
    let missing = dir.0.join("config.toml");
    assert_eq!(list(&missing, false).unwrap(), [""; 0].map(PathBuf::from));
    let error = list(&missing, true).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("config.toml"), "{error}");

    // The directory counts without it.
    let beside = dir.write("config.d/1.toml", "audit = 1");
    assert_eq!(list(&missing, false).unwrap(), [beside]);
    // What is there and leads nowhere is not missing.
    symlink("/no/such/file", dir.0.join("config.d/2.toml")).unwrap();
    let last = list(&missing, false).unwrap().pop().unwrap();
    assert!(matches!(read(&last), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn without_any_parent_the_error_says_where_one_can_be_named() {
    let dir = Dir::new("nobody");
    let source = Source {
        file: Some(dir.write("config.toml", "audit = 1\niface = []")),
        overrides: Options::default(),
    };
    let error = source.load().unwrap_err();
    assert!(error.to_string().contains("no parent is named"), "{error}");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("--iface") && hint.contains("config.toml"),
        "{hint}"
    );
}

#[test]
fn one_file_that_is_wrong_does_not_hide_what_the_others_say() {
    let dir = Dir::new("some");
    let first = dir.write("config.toml", "runtime-dir = \"/run/x\"\nno-such-key = 1\n");
    dir.write(
        "config.d/1.toml",
        "pin-dir = \"/sys/fs/bpf/x\"\naudit = 7\n",
    );
    dir.write("config.d/2.toml", "audit = 0\n");
    let (options, failures) = read_what_can_be(&first, false);
    assert_eq!(options.pin_dir, Some("/sys/fs/bpf/x".into()));
    assert_eq!((options.runtime_dir, options.audit), (None, Some(7)));
    assert_eq!(failures.len(), 2, "{failures:?}");

    let nowhere = dir.0.join("no/config.toml");
    let (options, failures) = read_what_can_be(&nowhere, false);
    assert_eq!((options, failures.len()), (Options::default(), 0));
    assert_eq!(read_what_can_be(&nowhere, true).1.len(), 1);
}

#[test]
fn places_are_read_from_the_file_that_is_named_unless_the_command_line_says_both() {
    let dir = Dir::new("places");
    let file = dir.write("config.toml", "runtime-dir = \"/run/x\"\n");
    let named = |overrides| Source {
        file: Some(file.clone()),
        overrides,
    };
    let (places, ignored) = named(Options::default()).places().unwrap();
    assert!(ignored.is_empty());
    assert_eq!(places.runtime_dir, PathBuf::from("/run/x"));
    assert_eq!(places.pin_dir, PathBuf::from(crate::attach::PIN_DIR));
    dir.write("config.toml", "runtime-dir = 1\n");
    assert!(named(Options::default()).places().is_err());
    let both = Options {
        runtime_dir: Some("/run/y".into()),
        pin_dir: Some("/sys/fs/bpf/y".into()),
        ..Options::default()
    };
    let (places, _) = named(both).places().unwrap();
    assert_eq!(places.runtime_dir, PathBuf::from("/run/y"));
}
