use clap::CommandFactory as _;
use clap::ValueEnum;

use super::*;
use crate::{
    attach::{Order, TcAttach},
    config::{Options, Source, XdpChoice},
    lan::{Announcing, DadMode, Defending},
    model::{Deliver, Dhcp, L2Broadcast},
    pins::PIN_DIR,
    runtime::RUNTIME_DIR,
};

#[test]
fn command_line_is_consistent() {
    Cli::command().debug_assert();
}

fn source(options: &[&str]) -> Result<Source, String> {
    match Cli::try_parse_from(["ipvlan", "run"].iter().chain(options)) {
        Ok(Cli {
            command: Command::Run(args),
        }) => Ok((*args).into()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn options_that_are_not_given_are_none() {
    let source = source(&[]).unwrap();
    assert_eq!(source.overrides, Options::default());
    assert_eq!(source.file, None);
}

#[test]
fn given_options_have_their_values() {
    let given = source(&[
        "--config=/tmp/x.toml",
        "--iface=lan0",
        "--iface=lan1",
        "--allow=10.0.0.0/8",
        "--allow=2001:db8::/32",
        "--deny=10.0.0.1",
        "--dad=enforce",
        "--announce=off",
        "--defend=off",
        "--refresh=60",
        "--stale-after=0",
        "--no-pin",
    ])
    .unwrap();
    let as_file = r#"
        iface = ["lan0", "lan1"]
        allow = ["10.0.0.0/8", "2001:db8::/32"]
        deny = ["10.0.0.1"]
        dad = "enforce"
        announce = "off"
        defend = "off"
        refresh = 60
        stale-after = 0
        pin = false
    "#;
    assert_eq!(given.overrides, toml::from_str(as_file).unwrap());
    assert_eq!(given.file, Some("/tmp/x.toml".into()));

    let error = source(&["--deny=10.0.0.1/8"]).unwrap_err();
    assert!(error.contains("10.0.0.0/8 is meant"), "{error}");
}

#[test]
fn last_spelling_of_a_boolean_takes_precedence() {
    let rows: [(&[&str], _); 9] = [
        (&[], None),
        (&["--no-pin"], Some(false)),
        (&["--pin"], Some(true)),
        (&["--no-pin", "--pin"], Some(true)),
        (&["--pin", "--no-pin", "--no-pin"], Some(false)),
        (&["--pin=false"], Some(false)),
        (&["--pin=true"], Some(true)),
        (&["--pin=false", "--pin"], Some(true)),
        (&["--no-pin", "--pin=true", "--pin=false"], Some(false)),
    ];
    for (options, pin) in rows {
        assert_eq!(source(options).unwrap().overrides.pin, pin, "{options:?}");
    }
    let link_local = source(&["--answer-link-local", "--no-answer-link-local"]).unwrap();
    assert_eq!(link_local.overrides.answer_link_local, Some(false));
    let access = source(&["--no-host-access", "--host-access"]).unwrap();
    assert_eq!(access.overrides.host_access, Some(true));
    let children = source(&["--metrics-children", "--no-metrics-children"]).unwrap();
    assert_eq!(children.overrides.metrics_children, Some(false));
}

/// `--help` states the default of an option.
#[test]
fn defaults_in_the_help_text_are_the_defaults() {
    use crate::{
        config::{
            DEFAULT_AUDIT, DEFAULT_FILE, DEFAULT_MAX_ADDRESSES, DEFAULT_MAX_CHILDREN,
            DEFAULT_STALE_AFTER,
        },
        lan::DEFAULT_ANNOUNCE_RATE,
        metrics::MetricsChoice,
        protocol::QuotaKind,
        quota::Quotas,
    };
    fn quota(kind: QuotaKind) -> String {
        Quotas::default().of(kind).to_string()
    }
    fn name<T: ValueEnum + Default>() -> String {
        let value = T::default().to_possible_value().unwrap();
        value.get_name().to_owned()
    }
    let rows = [
        ("l2-broadcast", name::<L2Broadcast>()),
        ("deliver", name::<Deliver>()),
        ("dhcp", name::<Dhcp>()),
        ("attach", name::<TcAttach>()),
        ("order", name::<Order>()),
        ("xdp", name::<XdpChoice>()),
        ("host-access", "true".to_owned()),
        ("answer-link-local", "false".to_owned()),
        ("pin", "true".to_owned()),
        ("metrics", MetricsChoice::default().to_string()),
        ("metrics-children", "false".to_owned()),
        ("dad", name::<DadMode>()),
        ("announce", name::<Announcing>()),
        ("defend", name::<Defending>()),
        ("refresh", "0".to_owned()),
        ("announce-rate", DEFAULT_ANNOUNCE_RATE.to_string()),
        ("netns-addresses", quota(QuotaKind::Addresses)),
        ("netns-events", quota(QuotaKind::Events)),
        ("netns-announcements", quota(QuotaKind::Announcements)),
        ("netns-groups", quota(QuotaKind::Groups)),
        ("netns-time", quota(QuotaKind::Time)),
        ("max-addresses", DEFAULT_MAX_ADDRESSES.to_string()),
        ("max-children", DEFAULT_MAX_CHILDREN.to_string()),
        ("audit", DEFAULT_AUDIT.to_string()),
        ("stale-after", DEFAULT_STALE_AFTER.to_string()),
        ("pin-dir", PIN_DIR.to_owned()),
        ("runtime-dir", RUNTIME_DIR.to_owned()),
        ("config", format!("{DEFAULT_FILE}, which may be missing")),
    ];
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let mut stated = 0;
    for argument in run.get_arguments() {
        let help = argument.get_help().unwrap().to_string();
        stated += usize::from(help.contains("[default:"));
        for (option, default) in &rows {
            if argument.get_long() == Some(*option) {
                let says = format!("[default: {default}]");
                assert!(help.ends_with(&says), "--{option}: {help}");
            }
        }
    }
    assert_eq!(stated, rows.len());
}

#[test]
fn every_option_is_a_key_and_every_key_an_option() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let mut options: Vec<&str> = run
        .get_arguments()
        .filter_map(clap::Arg::get_long)
        .filter(|long| !matches!(*long, "config" | "help") && !long.starts_with("no-"))
        .collect();
    options.sort_unstable();
    let error = toml::from_str::<Options>("no-such-key = 1").unwrap_err();
    let expected = error.message().split_once("expected one of ").unwrap().1;
    let mut keys: Vec<&str> = expected
        .split(", ")
        .map(|key| key.trim_matches('`'))
        // A rule has keys of its own, so only files have rules.
        .filter(|&key| key != "rule")
        .collect();
    keys.sort_unstable();
    assert_eq!(options, keys);
}
