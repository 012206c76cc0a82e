//! Several files and the command line: order, rules, parents and directories.

use super::*;
use crate::{
    config::{Loaded, Source},
    model::Rule,
};

#[test]
fn files_are_read_in_order_and_the_command_line_last() {
    let dir = Dir::new();
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

    source.overrides = toml::from_str("iface = ['b']\naudit = 30").unwrap();
    let Loaded { settings, .. } = source.load().unwrap();
    assert_eq!(settings.parents, ["b"]);
    assert_eq!(settings.audit.as_secs(), 30);
    assert_eq!(settings.attach.max_addresses, 10);
}

#[test]
fn rules_of_all_files_apply_in_the_order_of_reading() {
    let dir = Dir::new();
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
fn invalid_file_does_not_hide_the_options_of_others() {
    let dir = Dir::new();
    let first = dir.write("config.toml", "runtime-dir = \"/run/x\"\nno-such-key = 1\n");
    dir.write(
        "config.d/1.toml",
        "pin-dir = \"/sys/fs/bpf/x\"\naudit = 7\n",
    );
    dir.write("config.d/2.toml", "audit = 0\n");
    let (options, failures) = read_what_can_be(&first, false);
    assert_eq!(options.pin_dir, Some("/sys/fs/bpf/x".into()));
    assert_eq!(
        (options.runtime_dir, options.audit),
        (None, "7".parse().ok())
    );
    assert_eq!(failures.len(), 2, "{failures:?}");

    let nowhere = dir.at("no/config.toml");
    let (options, failures) = read_what_can_be(&nowhere, false);
    assert_eq!((options, failures.len()), (Options::default(), 0));
    assert_eq!(read_what_can_be(&nowhere, true).1.len(), 1);
}

#[test]
fn places_are_read_from_the_named_file_unless_the_command_line_has_both() {
    let dir = Dir::new();
    let file = dir.write("config.toml", "runtime-dir = \"/run/x\"\n");
    let named = |overrides| Source {
        file: Some(file.clone()),
        overrides,
    };
    let (places, ignored) = named(Options::default()).places().unwrap();
    assert!(ignored.is_empty());
    assert_eq!(places.runtime_dir, PathBuf::from("/run/x"));
    assert_eq!(places.pin_dir, PathBuf::from(crate::pins::PIN_DIR));
    dir.write("config.toml", "runtime-dir = 1\n");
    assert!(named(Options::default()).places().is_err());
    let both = "runtime-dir = '/run/y'\npin-dir = '/sys/fs/bpf/y'";
    let both = toml::from_str(both).unwrap();
    let (places, _) = named(both).places().unwrap();
    assert_eq!(places.runtime_dir, PathBuf::from("/run/y"));
}
