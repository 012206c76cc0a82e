use serde_json::json;

use super::*;

const CHILD: &str = "172.16.91.101";

fn packet<'a>() -> Packet<'a> {
    Packet {
        iif: "",
        oif: "ens34",
        source: Some(CHILD.parse().unwrap()),
        destination: None,
        state: "new",
    }
}

fn oif(name: &str) -> Value {
    json!({"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": name}})
}

fn source(op: &str, right: &Value) -> Value {
    let left = json!({"payload": {"protocol": "ip", "field": "saddr"}});
    json!({"match": {"op": op, "left": left, "right": right}})
}

fn prefix(address: &str, length: u8) -> Value {
    json!({"prefix": {"addr": address, "len": length}})
}

fn state(right: &Value) -> Value {
    json!({"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": right}})
}

fn port() -> Value {
    let left = json!({"payload": {"protocol": "tcp", "field": "dport"}});
    json!({"match": {"op": "==", "left": left, "right": 53}})
}

fn masquerade() -> Value {
    json!({"masquerade": null})
}

/// Returns a ruleset with a base chain of these rules, a chain `other` and a set `@children`.
fn ruleset(policy: &str, rules: &[Vec<Value>], other: &[Vec<Value>]) -> Ruleset {
    let chain = json!({"chain": {
        "family": "ip", "table": "t", "name": "base", "handle": 1, "type": "nat", "hook": "postrouting",
        "prio": 100, "policy": policy,
    }});
    let elements = json!(["10.0.0.1", prefix("172.16.91.0", 24)]);
    let set = json!({"set": {"family": "ip", "table": "t", "name": "children", "elem": elements}});
    let mut objects = vec![json!({"metainfo": {"version": "1.1.3"}}), chain, set];
    for (name, rules) in [("base", rules), ("other", other)] {
        for (handle, expr) in rules.iter().enumerate() {
            objects.push(json!({"rule": {
                "family": "ip", "table": "t", "chain": name, "handle": handle + 1, "expr": expr,
            }}));
        }
    }
    let json = serde_json::to_vec(&json!({"nftables": objects})).unwrap();
    Ruleset::parse(&json).unwrap()
}

/// Returns the fate of the packet, and whether it is certain.
fn fate(policy: &str, rules: &[Vec<Value>], other: &[Vec<Value>]) -> Option<(Fate, bool)> {
    let effects = ruleset(policy, rules, other).effects("nat", "postrouting", packet());
    effects.first().map(|effect| (effect.fate, effect.certain))
}

#[test]
fn a_rule_rewrites_what_it_matches() {
    let certain = Some((Fate::Rewrite, true));
    let maybe = Some((Fate::Rewrite, false));
    let rows: Vec<(Vec<Value>, _)> = vec![
        (vec![masquerade()], certain),
        (vec![oif("ens34"), masquerade()], certain),
        (
            vec![
                oif("ens*"),
                json!({"counter": {"packets": 0, "bytes": 0}}),
                masquerade(),
            ],
            certain,
        ),
        (vec![oif("ens35"), masquerade()], None),
        (
            vec![source("!=", &prefix("172.16.91.0", 24)), masquerade()],
            None,
        ),
        (
            vec![source("!=", &prefix("10.0.0.0", 8)), masquerade()],
            certain,
        ),
        (
            vec![source("==", &json!("@children")), masquerade()],
            certain,
        ),
        (vec![source("!=", &json!("@children")), masquerade()], None),
        (vec![source("==", &json!("@unknown")), masquerade()], maybe),
        (
            vec![
                source("==", &json!({"set": ["10.0.0.1", CHILD]})),
                masquerade(),
            ],
            certain,
        ),
        (
            vec![
                source("==", &json!({"range": ["172.16.91.1", "172.16.91.99"]})),
                masquerade(),
            ],
            None,
        ),
        (
            vec![
                source("==", &json!({"range": ["172.16.91.1", "172.16.91.199"]})),
                json!({"snat": {"addr": "1.2.3.4"}}),
            ],
            certain,
        ),
        (vec![port(), masquerade()], maybe),
        (vec![oif("ens35"), port(), masquerade()], None),
        (
            vec![json!({"xt": {"type": "target", "name": "MASQUERADE"}})],
            certain,
        ),
        (
            vec![
                json!({"xt": {"type": "match", "name": "owner"}}),
                masquerade(),
            ],
            maybe,
        ),
        (vec![json!({"accept": null})], None),
    ];
    for (rule, expected) in rows {
        assert_eq!(
            fate("accept", std::slice::from_ref(&rule), &[]),
            expected,
            "{rule:?}"
        );
    }
}

#[test]
fn the_first_rule_that_certainly_decides_counts() {
    let accept = || {
        vec![
            source("==", &prefix("172.16.91.0", 24)),
            json!({"accept": null}),
        ]
    };
    let certain = Some((Fate::Rewrite, true));
    let maybe = Some((Fate::Rewrite, false));
    let jump = |target: &str| json!({"jump": {"target": target}});
    let rewrite = || vec![masquerade()];
    let returns = || vec![json!({"return": null})];
    for (rules, other, expected) in [
        (vec![accept(), rewrite()], vec![], None),
        (
            vec![vec![port(), json!({"accept": null})], rewrite()],
            vec![],
            maybe,
        ),
        (vec![vec![jump("other")], rewrite()], vec![accept()], None),
        (
            vec![vec![jump("other")], rewrite()],
            vec![returns()],
            certain,
        ),
        (vec![vec![jump("other")]], vec![rewrite()], certain),
        (vec![vec![port(), jump("other")]], vec![rewrite()], maybe),
        (vec![vec![jump("other")]], vec![vec![jump("other")]], None),
        (
            vec![vec![json!({"goto": {"target": "other"}})], rewrite()],
            vec![returns()],
            None,
        ),
        (vec![returns(), rewrite()], vec![], None),
    ] {
        assert_eq!(
            fate("accept", &rules, &other),
            expected,
            "{rules:?} {other:?}"
        );
    }
}

#[test]
fn a_policy_drops_what_no_rule_accepts() {
    let accepts = |state_of: &Value| vec![state(state_of), json!({"accept": null})];
    let both = json!(["established", "related"]);
    for (rules, expected) in [
        (vec![], Some((Fate::Drop, true))),
        (vec![accepts(&both)], Some((Fate::Drop, true))),
        (vec![accepts(&json!("new"))], None),
        (
            vec![vec![port(), json!({"accept": null})]],
            Some((Fate::Drop, false)),
        ),
        (
            vec![
                vec![state(&json!("invalid")), json!({"drop": null})],
                accepts(&json!("new")),
            ],
            None,
        ),
        (
            vec![vec![state(&json!("new")), json!({"reject": null})]],
            Some((Fate::Drop, true)),
        ),
    ] {
        assert_eq!(fate("drop", &rules, &[]), expected, "{rules:?}");
    }
}

#[test]
fn an_effect_names_its_chain_and_rule() {
    let rule = vec![
        oif("ens34"),
        source("!=", &prefix("10.0.0.0", 8)),
        masquerade(),
    ];
    let effects = ruleset("accept", &[rule], &[]).effects("nat", "postrouting", packet());
    assert_eq!(effects[0].chain, ["ip", "t", "base"]);
    assert_eq!(
        effects[0].rule,
        "oifname ens34 ip saddr != 10.0.0.0/8 masquerade (handle 1)"
    );
    let other_hook = ruleset("drop", &[], &[]).effects("filter", "input", packet());
    assert_eq!(other_hook, []);
}

#[test]
fn chains_of_the_other_family_do_not_concern_a_packet() {
    let v6 = Packet {
        source: Some("2001:db8::1".parse().unwrap()),
        ..packet()
    };
    let rule = vec![masquerade()];
    assert_eq!(
        ruleset("accept", &[rule], &[]).effects("nat", "postrouting", v6),
        []
    );
}

#[test]
fn what_is_no_ruleset_is_an_error_and_what_is_unknown_is_left_out() {
    assert!(Ruleset::parse(b"{}").is_err());
    assert!(Ruleset::parse(b"").is_err());
    let odd =
        Ruleset::parse(br#"{"nftables": [7, {"chain": 1}, {"rule": {}}, {"flowtable": {}}]}"#);
    assert_eq!(odd.unwrap().len(), 0);
}
