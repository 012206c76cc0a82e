use std::str::FromStr as _;

use super::*;
use crate::{
    attach::{Order, TcAttach, XdpMode},
    config::{InterfaceName, StaleAfter, XdpChoice},
    lan::{Announcing, DadMode, Defending},
    model::{Deliver, Dhcp, L2Broadcast},
    pins::PIN_DIR,
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
fn stale_after_0_is_without_limit_and_pins_are_in_their_directory() {
    let settings = Settings::new(one_parent()).unwrap();
    assert_eq!(settings.stale_after, Some(Duration::from_mins(10)));
    let rows = [
        (None, None, PIN_DIR, true),
        (Some(true), Some("/x"), "/x", true),
        (None, Some("/x"), "/x", true),
        (Some(true), None, PIN_DIR, true),
        // Pins of a previous agent are looked for there.
        (Some(false), Some("/x"), "/x", false),
        (Some(false), None, PIN_DIR, false),
    ];
    for (pin, pin_dir, dir, keep) in rows {
        let options = Options {
            pin,
            pin_dir: pin_dir.map(PathBuf::from),
            stale_after: Some(StaleAfter(0)),
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
fn reload_names_the_keys_that_take_effect_after_a_restart() {
    let path = || Some(PathBuf::from("/x"));
    // Changed options, and the keys that wait for a restart.
    let rows: Vec<(Options, &[&str])> = vec![
        (one_parent(), &[]),
        (
            Options {
                iface: Some(names(&["ens35"])),
                l2_broadcast: Some(L2Broadcast::Flood),
                deliver: Some(Deliver::Pass),
                dhcp: Some(Dhcp::Off),
                answer_link_local: Some(true),
                allow: Some(vec!["10.0.0.0/8".parse().unwrap()]),
                deny: Some(vec!["10.0.0.1".parse().unwrap()]),
                dad: Some(DadMode::Off),
                announce: Some(Announcing::Off),
                defend: Some(Defending::Off),
                refresh: "60".parse().ok(),
                audit: "7".parse().ok(),
                stale_after: Some(StaleAfter(0)),
                ..Options::default()
            },
            &[],
        ),
        (
            Options {
                attach: Some(TcAttach::Clsact),
                order: Some(Order::After),
                xdp: Some(XdpChoice::Generic),
                host_access: Some(false),
                max_addresses: "1".parse().ok(),
                max_children: "1".parse().ok(),
                pin: Some(false),
                pin_dir: path(),
                runtime_dir: path(),
                ..one_parent()
            },
            &[
                "attach",
                "order",
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
        // A running agent keeps these three.
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
