use super::*;
use crate::protocol::{Hook, MapEntry, Mode, Netns};

fn explanation() -> Explanation {
    Explanation {
        address: "10.0.0.7".to_owned(),
        parent: "ens34".to_owned(),
        answered: AnsweredBy::None.into(),
        owners: vec![AddressOwner {
            kind: Some(OwnerKind::Child.into()),
            name: Some("c\u{1b}7".to_owned()),
            netns: Some(Netns {
                nsid: Some(3),
                names: vec!["blue".to_owned()],
                ..Netns::default()
            }),
            parent: Some("ens34".to_owned()),
            mode: Some(Mode::L3.into()),
            flag: Some(crate::protocol::Flag::Bridge.into()),
            up: Some(false),
            prefix: Some("10.0.0.7/24".to_owned()),
            rule: Some("a.toml:3".to_owned()),
            mac: None,
        }],
        entry: Some(MapEntry {
            owner: "child".to_owned(),
            refusal: Some("denied".to_owned()),
            delivery: crate::protocol::Delivery::Pass.into(),
            off_link: true,
            routed: false,
            probed: false,
            by_kernel: false,
        }),
        rules: vec![
            AppliedRule {
                reason: "denied".to_owned(),
                decides: true,
                child: Some("c7".to_owned()),
                text: "the rule at a.toml:3 deny 10.0.0.0/8".to_owned(),
                mend: Some("remove it".to_owned()),
            },
            AppliedRule {
                reason: "child_down".to_owned(),
                decides: false,
                child: None,
                text: "it is down\nrule: forged".to_owned(),
                mend: None,
            },
        ],
        frames: vec![TestedFrame {
            kind: FrameKind::Arp.into(),
            from: "lan".to_owned(),
            sender: "192.0.2.1".to_owned(),
            hook: Hook::Ingress.into(),
            program: "parent_ingress".to_owned(),
            program_id: 7,
            verdict: Verdict::Passed.into(),
            reason: Some("denied".to_owned()),
            mac: None,
        }],
        notes: vec!["x".repeat(LINE + 1)],
    }
}

#[test]
fn each_part_has_a_line_that_no_name_can_end() {
    let text = render(&[explanation()]);
    let lines: Vec<&str> = text.lines().collect();
    let long = format!("  note: {}…", "x".repeat(LINE - "  note: ".len()));
    assert_eq!(
        lines,
        [
            "10.0.0.7 on ens34: not answered: denied",
            r"  owner: child c\u{1b}7 in netns blue behind ens34, mode l3 bridge, down, 10.0.0.7/24, rule a.toml:3",
            "  map entry: child, refused: denied, off-link",
            "  rule decides: denied (c7): the rule at a.toml:3 deny 10.0.0.0/8",
            "    mend: remove it",
            r"  rule: child_down: it is down\u{a}rule: forged",
            "  ARP request from lan 192.0.2.1: passed at ingress (denied)",
            &long,
        ]
    );
    let other = Explanation {
        entry: None,
        owners: Vec::new(),
        ..explanation()
    };
    let both = render(&[explanation(), other.clone()]);
    assert!(both.contains("…\n\n10.0.0.7"), "{both}");
    assert!(both.contains("  owner: none that the agent knows\n  map entry: none\n"));
    // An agent that knows the child is believed, others are not shown.
    assert_eq!(
        of_owner(vec![other.clone(), explanation()]),
        [explanation()]
    );
    assert_eq!(of_owner(vec![other.clone()]), [other]);
}
