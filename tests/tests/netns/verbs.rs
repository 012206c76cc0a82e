//! What each verb prints and how it ends, beside a running agent and without one.

use insta::{Settings, assert_snapshot};

use crate::common::{Ended, HOST_IP, Node, PARENT, PATIENCE, Reports as _, assert_schema};

/// What differs between two runs.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, text) in [
        (r"agent \d+", "agent PID"),
        (r"/run/ipvlan-lab-[0-9-]+", "RUNTIME_DIR"),
        (r"\(program \d+\)", "(program ID)"),
        (r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", "MAC"),
        (r"\d+ syncs, \d+ wakes", "N syncs, N wakes"),
        (r"(?m)^(ens34 +ready +.*) \d+$", "$1 PID"),
        (r"(?m)^  quota: .*\n", ""),
        // What the kernel sends by itself.
        (r"(?m)^   (egress|ingress) .*\n", ""),
        (r"version \d+\.\d+\.\d+", "version VERSION"),
    ] {
        settings.add_filter(pattern, text);
    }
    settings
}

/// Everything about how a command ended.
fn golden(ended: &Ended) -> String {
    format!(
        "exit code {}\n{}{}",
        ended.code.unwrap_or(-1),
        ended.stdout,
        ended.stderr
    )
}

#[test]
fn verbs_beside_an_agent() {
    let node = Node::new();
    let agent = node.start(&[]);
    node.arp(HOST_IP, PATIENCE).unwrap();
    agent.assert_ready();
    let run = |verb: &str, options: &[&str]| node.ended(node.command(verb, options));
    settings().bind(|| {
        assert_snapshot!("status", golden(&run("status", &[])));
        assert_snapshot!(
            "status_brief",
            golden(&run("status", &["--brief", "--wait=5s"]))
        );
        assert_snapshot!(
            "status_other",
            golden(&run("status", &["--iface", "other"]))
        );
        assert_snapshot!("children", golden(&run("children", &[])));
        assert_snapshot!("reload", golden(&run("reload", &[])));
    });
    for (verb, options, schema) in [
        ("status", &[][..], "status"),
        ("children", &[], "children"),
        ("counters", &[], "counters"),
        ("reload", &[], "reload"),
        ("top", &["--once", "--interval=100ms"], "top"),
    ] {
        let with = |format| [options, &["-o", format]].concat();
        assert_schema(schema, &run(verb, &with("json")).exits(0), false);
        // There is no child to print a line about.
        if verb != "children" && verb != "top" {
            let line = if schema == "status" {
                schema.to_owned()
            } else {
                format!("{schema}-line")
            };
            assert_schema(&line, &run(verb, &with("jsonl")).exits(0), true);
        }
    }
    let counted = run("counters", &["--color", "always"]).exits(0);
    for text in [PARENT, "egress", "host_address", "FRAMES", "\u{1b}[1m"] {
        assert!(counted.stdout.contains(text), "{text}: {counted:?}");
    }
    agent.stop().unwrap();
}

#[test]
fn verbs_without_an_agent_end_with_3() {
    let node = Node::new();
    let run = |verb: &str, options: &[&str]| node.ended(node.command(verb, options));
    settings().bind(|| {
        for (verb, options) in [
            ("status", &[][..]),
            ("status", &["--brief"]),
            ("status", &["--wait=300ms"]),
            ("children", &[]),
            ("counters", &[]),
            ("counters", &["--watch"]),
            ("reload", &[]),
            ("top", &["--once"]),
        ] {
            let ended = run(verb, options).exits(3);
            assert!(ended.stdout.starts_with("no agent is running"), "{ended:?}");
            assert_eq!(ended.stderr, "");
        }
    });
    for (schema, options) in [
        ("status", &[][..]),
        ("children", &[]),
        ("counters", &[]),
        ("reload", &[]),
        ("top", &["--once"]),
    ] {
        let ended = run(schema, &[options, &["--json"]].concat());
        assert_schema(schema, &ended.exits(3), false);
    }
}
