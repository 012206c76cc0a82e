//! Errors in a file, and the place that each names.

use super::*;

/// Text of a file, place of the error, key, and part of the message.
const WRONG: [(&[u8], &str, Option<&str>, &str); 42] = [
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
        b"refresh = 86401",
        "1:11",
        Some("refresh"),
        "86401 is not in 0..=86400",
    ),
    (
        b"defend = \"maybe\"",
        "1:10",
        Some("defend"),
        "`maybe` is none of `off`, `on`",
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
fn error_names_file_line_column_and_key() {
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
