use super::*;

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Vec<T> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A rule that matches by these patterns.
fn matching(netns: &[&str], name: &[&str], parent: &[&str]) -> Rule {
    Rule {
        netns: parse(netns),
        name: parse(name),
        parent: parse(parent),
        ..Rule::default()
    }
}

fn with_rules(rules: Vec<Rule>) -> Policy {
    Policy {
        rules,
        ..Policy::default()
    }
}

fn files(files: &[&str]) -> Vec<String> {
    files.iter().map(ToString::to_string).collect()
}

fn blue() -> Vec<String> {
    files(&["/run/netns/blue"])
}

/// A child `eth0` of `ens34`.
fn child(netns: &[String]) -> ChildContext<'_> {
    ChildContext {
        netns,
        name: "eth0",
        parent: "ens34",
    }
}

#[test]
fn a_netns_is_matched_by_path_or_by_a_name_that_only_root_can_give() {
    for (pattern, path, expected) in [
        ("blue", "/run/netns/blue", true),
        ("blue", "/run/docker/netns/blue", true),
        ("bl*", "/run/netns/blue", true),
        ("*", "/run/netns/blue", true),
        ("blue", "/run/netns/blue2", false),
        ("/run/netns/blue", "/run/netns/blue", true),
        ("/run/netns/*", "/run/netns/blue", true),
        ("/run/netns/*", "/run/docker/netns/blue", false),
        // A mount that propagates out of a container's volume.
        ("blue", "/var/lib/volumes/1/blue", false),
        ("blue", "/var/lib/volumes/1/run/netns/blue", false),
        ("blue", "/run/netns/x/blue", false),
        ("*", "/var/lib/volumes/1/blue", false),
        ("/var/lib/volumes/*/blue", "/var/lib/volumes/1/blue", true),
        ("netns/blue", "/run/netns/blue", false),
    ] {
        let policy = with_rules(vec![matching(&[pattern], &[], &[])]);
        for files in [files(&[path]), files(&["/a", path]), files(&[path, "/z"])] {
            let rule = policy.of_child(&child(&files)).rule();
            assert_eq!(rule.is_some(), expected, "{pattern} {files:?}");
        }
        assert_eq!(policy.of_child(&child(&[])).rule(), None, "{pattern}");
    }
}

#[test]
fn of_the_rules_that_match_in_everything_the_first_applies() {
    let red = || matching(&["red"], &[], &[]);
    for (rules, expected) in [
        (vec![], None),
        (vec![Rule::default()], Some(0)),
        (vec![red()], None),
        (vec![matching(&["red", "blue"], &[], &[])], Some(0)),
        (vec![matching(&["blue"], &["eth0"], &["ens35"])], None),
        (vec![matching(&["blue"], &["eth1"], &["ens34"])], None),
        (vec![matching(&["blue"], &["eth?"], &["ens*"])], Some(0)),
        (
            vec![red(), matching(&[], &["eth0"], &[]), Rule::default()],
            Some(1),
        ),
    ] {
        let policy = with_rules(rules);
        let rule = policy.of_child(&child(&blue())).rule();
        assert_eq!(rule, expected, "{:?}", policy.rules);
    }
}

#[test]
fn a_rule_narrows_what_all_children_may_have() {
    use Reason::{Denied, NotAllowed};
    // Allow, deny and answer of the rule; an address; why it is refused; whether it attracts routed packets.
    type Row<'a> = (
        (&'a [&'a str], &'a [&'a str], bool),
        &'a str,
        Option<Reason>,
        bool,
    );
    let allow_10_1: (&[&str], &[&str], bool) = (&["10.1.0.0/16"], &[], true);
    let alone: [Row; 9] = [
        ((&[], &[], true), "10.1.0.1", None, false),
        ((&[], &[], false), "10.1.0.1", Some(Denied), false),
        ((&[], &[], false), "fe80::1", Some(Denied), false),
        (allow_10_1, "10.1.0.1", None, true),
        (allow_10_1, "10.2.0.1", Some(NotAllowed), false),
        (allow_10_1, "2001:db8::1", Some(NotAllowed), false),
        (allow_10_1, "fe80::1", None, false),
        (
            (&["10.1.0.0/16"], &[], false),
            "10.1.0.1",
            Some(Denied),
            false,
        ),
        (
            (&["10.1.0.0/16"], &["10.1.1.0/24"], true),
            "10.1.1.1",
            Some(Denied),
            false,
        ),
    ];
    // The same where all children have the lists below.
    let beside_lists: [Row; 8] = [
        ((&[], &[], true), "10.1.0.1", None, true),
        ((&[], &["10.1.0.1"], true), "10.1.0.1", Some(Denied), false),
        (allow_10_1, "10.1.0.1", None, true),
        (allow_10_1, "10.2.0.1", Some(NotAllowed), false),
        // What is forbidden to all children stays forbidden to one.
        (
            (&["10.9.0.0/16"], &[], true),
            "10.9.0.1",
            Some(Denied),
            false,
        ),
        (
            (&["11.0.0.0/8"], &[], true),
            "11.0.0.1",
            Some(NotAllowed),
            false,
        ),
        (
            (&["::/0"], &[], true),
            "2001:db8::1",
            Some(NotAllowed),
            false,
        ),
        ((&["11.0.0.0/8"], &[], true), "fe80::1", None, false),
    ];
    let rows = alone.map(|row| (false, row)).into_iter();
    for (has_lists, row) in rows.chain(beside_lists.map(|row| (true, row))) {
        let ((allow, deny, answer), address, refusal, is_explicit) = row;
        let of_all = |texts| if has_lists { parse(texts) } else { Vec::new() };
        let policy = Policy {
            allow: of_all(&["10.0.0.0/8"]),
            deny: of_all(&["10.9.0.0/16"]),
            rules: vec![Rule {
                allow: parse(allow),
                deny: parse(deny),
                answer,
                ..matching(&["blue"], &[], &[])
            }],
            ..Policy::default()
        };
        let address = address.parse().unwrap();
        let files = blue();
        let of_child = policy.of_child(&child(&files));
        let decided = (
            of_child.refusal(address),
            of_child.allows_explicitly(address),
        );
        assert_eq!(decided, (refusal, is_explicit), "{has_lists} {row:?}");
    }
}

#[test]
fn only_a_rule_makes_a_child_a_next_hop() {
    let policy = with_rules(vec![Rule {
        next_hop: true,
        ..matching(&["blue"], &[], &[])
    }]);
    let (blue, red) = (blue(), files(&["/run/netns/red"]));
    assert!(policy.of_child(&child(&blue)).may_be_next_hop());
    assert!(!policy.of_child(&child(&red)).may_be_next_hop());
    let without = Policy::default();
    assert!(!without.of_child(&child(&blue)).may_be_next_hop());
}

#[test]
fn the_quota_of_a_netns_is_that_of_the_first_rule_that_matches_by_it_alone() {
    let quota = |addresses, netns: &[&str]| Rule {
        addresses: Some(addresses),
        ..matching(netns, &[], &[])
    };
    for (rules, expected) in [
        (vec![], None),
        (vec![quota(1, &["red"])], None),
        (vec![quota(1, &["blue"])], Some(1)),
        (
            vec![
                matching(&["blue"], &["eth0"], &[]),
                quota(2, &["b*"]),
                quota(3, &[]),
            ],
            Some(2),
        ),
        (vec![quota(3, &[])], Some(3)),
        // The first one is the one, even if it leaves the quota alone.
        (vec![matching(&["blue"], &[], &[]), quota(3, &[])], None),
    ] {
        let policy = with_rules(rules);
        assert_eq!(policy.quota_of(&blue()), expected, "{:?}", policy.rules);
    }
}

#[test]
fn a_rule_that_grants_something_to_a_name_is_refused() {
    for (rule, is_refused) in [
        (matching(&[], &["eth0"], &[]), true),
        (matching(&[], &["eth0"], &["ens34"]), true),
        (matching(&["**"], &["eth0"], &[]), true),
        (matching(&["blue", "*"], &["eth0"], &[]), true),
        (matching(&["blue"], &["eth0"], &[]), false),
        (matching(&["*"], &[], &[]), false),
        (matching(&[], &[], &["ens34"]), false),
        (Rule::default(), false),
    ] {
        let denying = Rule {
            deny: parse(&["10.0.0.0/8"]),
            answer: false,
            ..rule.clone()
        };
        assert_eq!(denying.check(), Ok(()));
        let allowing = Rule {
            allow: parse(&["10.0.0.0/8"]),
            ..rule.clone()
        };
        let next_hop = Rule {
            next_hop: true,
            ..rule
        };
        for (key, rule) in [("allow", allowing), ("next-hop", next_hop)] {
            let error = is_refused.then_some(RuleError::GrantByName(key));
            assert_eq!(rule.check().err(), error, "{rule:?}");
        }
    }
}

#[test]
fn the_quota_of_a_part_of_a_netns_is_refused() {
    let refused = Some(RuleError::QuotaOfChildren);
    for (rule, error) in [
        (Rule::default(), None),
        (matching(&["blue"], &[], &[]), None),
        (matching(&["blue"], &["eth0"], &[]), refused),
        (matching(&[], &[], &["ens34"]), refused),
    ] {
        let rule = Rule {
            addresses: Some(1),
            ..rule
        };
        assert_eq!(rule.check().err(), error, "{rule:?}");
    }
}
