use std::str::FromStr as _;

use super::*;
use crate::{
    attach::{PIN_DIR, TcAttach, XdpMode},
    config::{InterfaceName, XdpChoice},
    model::{Deliver, L2Broadcast},
    neighbour::{Announcing, DadMode},
};

fn names(names: &[&str]) -> Vec<InterfaceName> {
    let parse = |name: &&str| InterfaceName::from_str(name).unwrap();
    names.iter().map(parse).collect()
}

fn one_parent() -> Options {
    Options {
        iface: Some(names(&["ens34"])),
        ..Options::default()
    }
}

#[test]
fn without_a_parent_there_are_no_settings() {
    assert_eq!(Settings::new(Options::default()), None);
    let none = Options {
        iface: Some(names(&[])),
        ..Options::default()
    };
    assert_eq!(Settings::new(none), None);
}

#[test]
fn a_parent_that_is_named_twice_is_served_once() {
    let options = Options {
        iface: Some(names(&["ens35", "ens34", "ens35"])),
        ..Options::default()
    };
    assert_eq!(Settings::new(options).unwrap().parents, ["ens35", "ens34"]);
}

#[test]
fn stale_after_0_is_never_and_pins_are_where_they_are_wanted() {
    let settings = Settings::new(one_parent()).unwrap();
    assert_eq!(settings.stale_after, Some(Duration::from_mins(10)));
    let rows = [
        (None, None, PIN_DIR, true),
        (Some(true), Some("/x"), "/x", true),
        (None, Some("/x"), "/x", true),
        (Some(true), None, PIN_DIR, true),
        // What an agent before has pinned is looked for there.
        (Some(false), Some("/x"), "/x", false),
        (Some(false), None, PIN_DIR, false),
    ];
    for (pin, pin_dir, dir, keep) in rows {
        let options = Options {
            pin,
            pin_dir: pin_dir.map(PathBuf::from),
            stale_after: Some(0),
            ..one_parent()
        };
        let settings = Settings::new(options).unwrap();
        assert_eq!(
            settings.pins,
            PinSettings {
                dir: dir.into(),
                keep
            },
            "{pin:?} {pin_dir:?}"
        );
        assert_eq!(settings.stale_after, None);
    }
}

#[test]
fn a_reload_takes_what_it_can_and_names_what_it_cannot() {
    let path = || Some(PathBuf::from("/x"));
    // What is different, and the keys that wait.
    let rows: Vec<(Options, &[&str])> = vec![
        (one_parent(), &[]),
        (
            Options {
                iface: Some(names(&["ens35"])),
                l2_broadcast: Some(L2Broadcast::Flood),
                deliver: Some(Deliver::Pass),
                answer_link_local: Some(true),
                allow: Some(vec!["10.0.0.0/8".parse().unwrap()]),
                deny: Some(vec!["10.0.0.1".parse().unwrap()]),
                dad: Some(DadMode::Off),
                announce: Some(Announcing::Off),
                audit: Some(7),
                stale_after: Some(0),
                ..Options::default()
            },
            &[],
        ),
        (
            Options {
                attach: Some(TcAttach::Clsact),
                xdp: Some(XdpChoice::Generic),
                host_access: Some(false),
                max_addresses: Some(1),
                max_children: Some(1),
                pin: Some(false),
                pin_dir: path(),
                runtime_dir: path(),
                ..one_parent()
            },
            &[
                "attach",
                "xdp",
                "host-access",
                "max-addresses",
                "max-children",
                "pin",
                "pin-dir",
                "runtime-dir",
            ],
        ),
        (
            Options {
                pin_dir: path(),
                ..one_parent()
            },
            &["pin-dir"],
        ),
    ];
    for (options, waiting) in rows {
        let mut settings = Settings::new(one_parent()).unwrap();
        let before = settings.clone();
        let new = Settings::new(options).unwrap();
        assert_eq!(settings.reload(new.clone()), waiting);
        // All of it, but for what a running agent keeps.
        let expected = Settings {
            attach: before.attach,
            pins: before.pins,
            runtime_dir: before.runtime_dir,
            ..new
        };
        assert_eq!(settings, expected);
        assert_eq!(settings.attach.xdp, None::<XdpMode>);
    }
}
