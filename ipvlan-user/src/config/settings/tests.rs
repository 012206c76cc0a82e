use super::*;
use crate::{attach::XdpMode, pins::PIN_DIR};

/// Settings of a file with this text.
fn settings(text: &str) -> Option<Settings> {
    Settings::new(toml::from_str(text).unwrap())
}

#[test]
fn without_a_parent_there_are_no_settings_and_one_that_is_named_twice_is_served_once() {
    assert_eq!(settings(""), None);
    assert_eq!(settings("iface = []"), None);
    let twice = settings(r#"iface = ["ens35", "ens34", "ens35"]"#);
    assert_eq!(twice.unwrap().parents, ["ens35", "ens34"]);
}

#[test]
fn stale_after_0_is_without_limit_and_pins_are_in_their_directory() {
    let default = settings(r#"iface = ["ens34"]"#).unwrap();
    assert_eq!(default.stale_after, Some(Duration::from_mins(10)));
    let rows = [
        ("", PIN_DIR, true),
        ("pin = true\npin-dir = '/x'", "/x", true),
        ("pin-dir = '/x'", "/x", true),
        ("pin = true", PIN_DIR, true),
        // Pins of a previous agent are looked for there.
        ("pin = false\npin-dir = '/x'", "/x", false),
        ("pin = false", PIN_DIR, false),
    ];
    for (text, dir, keep) in rows {
        let text = format!("iface = ['ens34']\nstale-after = 0\n{text}");
        let settings = settings(&text).unwrap();
        let dir = dir.into();
        assert_eq!(settings.pins, PinSettings { dir, keep }, "{text}");
        assert_eq!(settings.stale_after, None);
    }
}

#[test]
fn reload_names_the_keys_that_take_effect_after_a_restart() {
    let at_once = r#"
        iface = ["ens35"]
        l2-broadcast = "flood"
        deliver = "pass"
        dhcp = "off"
        answer-link-local = true
        allow = ["10.0.0.0/8"]
        deny = ["10.0.0.1"]
        dad = "off"
        announce = "off"
        defend = "off"
        refresh = 60
        audit = 7
        stale-after = 0
    "#;
    let after_a_restart = r#"
        attach = "clsact"
        order = "after"
        xdp = "generic"
        host-access = false
        max-addresses = 1
        max-children = 1
        pin = false
        metrics = "127.0.0.1:1"
        metrics-children = true
        pin-dir = "/x"
        runtime-dir = "/x"
    "#;
    for (text, is_waiting) in [
        ("", false),
        (at_once, false),
        (after_a_restart, true),
        ("pin-dir = '/x'", true),
    ] {
        let mut running = settings(r#"iface = ["ens34"]"#).unwrap();
        let before = running.clone();
        let with_iface = format!("iface = ['ens34']\n{text}");
        let new = settings(if text == at_once { text } else { &with_iface }).unwrap();
        let keys = text.lines().filter_map(|line| line.split_once(" = "));
        let keys: Vec<&str> = keys.map(|(key, _)| key.trim()).collect();
        let waiting = if is_waiting { keys } else { Vec::new() };
        assert_eq!(running.reload(new.clone()), waiting);
        // A running agent keeps these four.
        let expected = Settings {
            attach: before.attach,
            pins: before.pins,
            metrics: before.metrics,
            runtime_dir: before.runtime_dir,
            ..new
        };
        assert_eq!(running, expected);
        assert_eq!(running.attach.xdp, None::<XdpMode>);
    }
}
