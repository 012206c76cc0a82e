//! What the commands display of text that others wrote.

use std::path::Path;

use ipvlan_user::{
    commands::{render_json, status},
    config,
    exit::Failure,
    names::cgroup::{self, Membership},
    protocol::{Agent, SCHEMA, Status},
    text::{escaped, printable},
};

/// Displays the input as one of four kinds, which the first byte chooses.
///
/// # Panics
///
/// If what is displayed has a control character, or if an error of a configuration file does not begin with its
/// place.
pub fn check(input: &[u8]) {
    let [kind, bytes @ ..] = input else { return };
    match kind % 4 {
        0 => configuration(bytes),
        1 => answer(bytes),
        2 => membership(bytes),
        _ => {
            let shown = escaped(bytes).to_string();
            assert_printable(&shown);
            assert!(!shown.contains('\n'));
            assert_eq!(printable(&shown).to_string(), shown);
        }
    }
}

fn configuration(bytes: &[u8]) {
    if let Err(error) = config::parse(Path::new("file"), bytes) {
        let shown = Failure::from(error).render();
        assert_printable(&shown);
        let place = shown
            .strip_prefix("error: file:")
            .expect("the file is named");
        let line = place.split(':').next().and_then(|line| line.parse().ok());
        assert!(line > Some(0_usize), "{shown}");
    }
}

fn answer(bytes: &[u8]) {
    let Ok(agent) = serde_json::from_slice::<Agent>(bytes) else {
        return;
    };
    let status = Status {
        schema: SCHEMA,
        agents: vec![agent],
        unanswered: Vec::new(),
        unserved: None,
    };
    assert_printable(&status::render(&status, u64::MAX));
    assert_printable(&render_json(&status).expect("a status is JSON"));
}

fn membership(bytes: &[u8]) {
    if let Some(Membership { name, .. }) = cgroup::parse(bytes) {
        let name = name.unwrap_or_default();
        assert_printable(&name);
        assert!(name.len() < 2048 && !name.contains('\n'), "{name:?}");
    }
}

fn assert_printable(shown: &str) {
    let is_control = |of: char| of != '\n' && of.is_control();
    assert!(!shown.contains(is_control), "{shown:?}");
}
