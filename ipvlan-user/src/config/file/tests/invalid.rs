//! Errors in a file, and the place that each names.

use super::*;

/// Files that are wrong, each followed by the beginning of its error: line, column and key, then why.
const WRONG: &str = r#"
ifaces = ["a"]
#! 1:1: `ifaces`: unknown field `ifaces`


  x = 1
#! 3:3: `x`: unknown field `x`
[agent]
audit = 1
#! 1:2: `agent`: unknown field `agent`
audit = 1
audit = 2
#! 2:1: duplicate key
iface = "ens34"
#! 1:9: `iface`: invalid type: string
iface = ["ü", 1]
#! 1:15: `iface`: invalid type: integer `1`
iface = ["ens34",
  "a\u0000b"]
#! 2:3: `iface`: '\0' cannot be in an interface name
iface = [""]
#! 1:10: `iface`: not an interface name
iface = ["sixteen-letters!"]
#! 1:10: `iface`: longer than 15 bytes
iface = ["/sys/class/net/a"]
#! 1:10: `iface`: '/' cannot be in an interface name
iface = ["a"
#! 1:13: unclosed array
dad warn
#! 1:5: key with no value
# ü
dad = "maybe"
#! 2:7: `dad`: `maybe` is none of `off`, `optimistic`, `strict`
announce = true
#! 1:12: `announce`: invalid type: boolean `true`
pin = "yes"
#! 1:7: `pin`: invalid type: string "yes"
host-access = 1
#! 1:15: `host-access`: invalid type: integer `1`
allow = ["10.0.0.0/8", "10.0.0.1/8"]
#! 1:24: `allow`: `10.0.0.1/8` has bits set behind the prefix: 10.0.0.0/8 is meant
deny = ["10.0.0.0/33"]
#! 1:9: `deny`: `33` is not a length from 0 to 32
max-addresses = 0
#! 1:17: `max-addresses`: 0 is not in 1..=1048576
max-children = -1
#! 1:16: `max-children`: -1 is not in 1..=1048576
audit = 86401
#! 1:9: `audit`: 86401 is not in 1..=86400
refresh = 86401
#! 1:11: `refresh`: 86401 is not in 0..=86400
defend = "maybe"
#! 1:10: `defend`: `maybe` is none of `off`, `on`
stale-after = 1.5
#! 1:15: `stale-after`: invalid type: floating point
stale-after = 1
#! 1:15: `stale-after`: 1 is too short for an agent to sync in time: the smallest value is 2, or 0 without limit
stale-after = 31536001
#! 1:15: `stale-after`: 31536001 is too long: the largest value is 31536000
rule = 1
#! 1:8: `rule`: invalid type: integer `1`, expected a list in brackets
[rule]
allow = ["::/0"]
#! 1:1: `rule`: invalid type: map
[[rule]]
[[rule]]
 netnss = ["blue"]
#! 3:2: `rule.netnss`: unknown field `netnss`, expected one of `netns`, `name`
[[rule]]
[[rule]]
netns = "blue"
#! 3:9: `rule.netns`: invalid type: string "blue", expected a list in brackets
[[rule]]
netns = ["red",
  "[a"]
#! 3:3: `rule.netns`: `[a`: invalid range pattern
[[rule]]
parent = [""]
#! 2:11: `rule.parent`: the pattern is empty: it matches no name
[[rule]]
allow = []
#! 2:9: `rule.allow`: the list is empty
[[rule]]
netns = ["a"]
deny = ["10.0.0.1/8"]
#! 3:9: `rule.deny`: `10.0.0.1/8` has bits set behind the prefix: 10.0.0.0/8 is meant
rule = [{ netns = ["a"], addresses = 0 }]
#! 1:38: `rule.addresses`: 0 is not in 1..=1048576
[[rule]]
answer = "no"
#! 2:10: `rule.answer`: invalid type: string "no", expected a boolean
[[rule]]
[[rule]]
name = ["eth0"]
allow = ["::/0"]
#! 4:9: `rule.allow`: this grants something, and a container can rename its link
[[rule]]
name = ["eth0"]
netns = ["*"]
next-hop = true
#! 4:12: `rule.next-hop`: this grants something, and a container can rename its link
rule = [{ parent = ["ens34"], addresses = 9 }]
#! 1:43: `rule.addresses`: this is the quota of a whole netns: match by `netns` alone
runtime-dir = ["/run"]
#! 1:15: `runtime-dir`: invalid type: sequence
"#;

#[test]
fn error_names_file_line_column_and_key() {
    let dir = Dir::new();
    let check = |text: &[u8], expected: &str| {
        let path = dir.write("config.toml", text);
        let shown = String::from_utf8_lossy(text);
        let error = read(&path).unwrap_err().to_string();
        let expected = format!("{}:{expected}", path.display());
        assert!(error.starts_with(&expected), "{shown}\n{error}\n{expected}");
        assert!(!error.contains('\n'), "{error}");
    };
    let mut text = Vec::new();
    for line in WRONG[1..].lines() {
        match line.strip_prefix("#! ") {
            Some(expected) => check(std::mem::take(&mut text).join("\n").as_bytes(), expected),
            None => text.push(line),
        }
    }
    check(b"iface = [\"a\0b\"]", "1:12: invalid basic string");
    check(b"iface = [\"\xff\"]", "1:11: not UTF-8 text");
}
