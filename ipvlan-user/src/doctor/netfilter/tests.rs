use super::{
    super::{report::Status, samples::node},
    *,
};

const MASQUERADED: &str = r#"{"nftables": [
    {"chain": {"family": "ip", "table": "nat", "name": "post", "type": "nat", "hook": "postrouting", "policy": "accept"}},
    {"rule": {"family": "ip", "table": "nat", "chain": "post", "handle": 4, "expr": [
        {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "ens34"}}, {"masquerade": null}]}}]}"#;
const FILTERED: &str = r#"{"nftables": [
    {"chain": {"family": "inet", "table": "f", "name": "out", "type": "filter", "hook": "output", "policy": "accept"}},
    {"rule": {"family": "inet", "table": "f", "chain": "out", "handle": 4, "expr": [
        {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}}, {"drop": null}]}},
    {"chain": {"family": "inet", "table": "f", "name": "in", "type": "filter", "hook": "input", "policy": "drop"}},
    {"rule": {"family": "inet", "table": "f", "chain": "in", "handle": 5, "expr": [
        {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}]}},
    {"chain": {"family": "inet", "table": "f", "name": "fwd", "type": "filter", "hook": "forward", "policy": "drop"}}]}"#;
const CLOSED: &str = r#"{"nftables": [
    {"chain": {"family": "ip", "table": "f", "name": "out", "type": "filter", "hook": "output", "policy": "drop"}}]}"#;

fn found(mode: Mode, rules: &str) -> Vec<Check> {
    let netfilter = Netfilter {
        rules: Ok(Ruleset::parse(rules.as_bytes()).unwrap()),
        legacy: Vec::new(),
    };
    judge(&node(mode).parents, &netfilter)
}

#[test]
fn rules_are_named_in_the_modes_that_they_hurt() {
    for (rules, mode, ids) in [
        (MASQUERADED, Mode::L2, &["netfilter.rules"][..]),
        (MASQUERADED, Mode::L3, &["netfilter.masquerade"]),
        (MASQUERADED, Mode::L3s, &["netfilter.masquerade"]),
        (FILTERED, Mode::L2, &["netfilter.rules"]),
        (
            FILTERED,
            Mode::L3,
            &["netfilter.invalid", "netfilter.invalid"],
        ),
        (FILTERED, Mode::L3s, &["netfilter.input", "netfilter.input"]),
        (CLOSED, Mode::L3, &["netfilter.output"]),
        (CLOSED, Mode::L3s, &["netfilter.output"]),
    ] {
        let checks = found(mode, rules);
        let named: Vec<&str> = checks.iter().map(|check| check.id.as_str()).collect();
        assert_eq!(named, ids, "{mode} {checks:?}");
        let status = if named == ["netfilter.rules"] {
            Status::Ok
        } else {
            Status::Fail
        };
        assert!(
            checks.iter().all(|check| check.status == status),
            "{checks:?}"
        );
    }
}

#[test]
fn the_command_excludes_the_children() {
    let checks = found(Mode::L3, MASQUERADED);
    assert_eq!(
        checks[0].mend.as_deref(),
        Some("nft insert rule ip nat post ip saddr 172.16.91.101 accept")
    );
    assert!(
        checks[0]
            .found
            .contains("oifname ens34 masquerade (handle 4) matches"),
        "{checks:?}"
    );
    let inbound = found(Mode::L3s, FILTERED);
    let mends: Vec<&str> = inbound
        .iter()
        .filter_map(|check| check.mend.as_deref())
        .collect();
    assert_eq!(
        mends,
        [
            "nft insert rule inet f in ip daddr 172.16.91.101 accept",
            "nft insert rule inet f in ip6 daddr 2001:db8:91::65 accept",
        ]
    );
}

#[test]
fn rules_that_cannot_be_read_are_skipped_with_the_reason() {
    let netfilter = Netfilter {
        rules: Err("nft is not installed".to_owned()),
        legacy: vec!["nat".to_owned()],
    };
    let checks = judge(&node(Mode::L3).parents, &netfilter);
    let statuses: Vec<_> = checks.iter().map(|check| check.status).collect();
    assert_eq!(statuses, [Status::Skip, Status::Skip]);
    assert!(checks[0].found.contains("nat") && checks[1].found.contains("nft"));
}

#[test]
fn a_program_that_fails_is_an_error() {
    assert!(list(Path::new("/bin/false")).is_err());
    assert!(list(Path::new("/no/such/program")).is_err());
    assert_eq!(
        list(Path::new("/bin/echo")).unwrap(),
        b"--json list ruleset\n"
    );
}
