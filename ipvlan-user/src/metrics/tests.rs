use std::{env, fs, sync::Arc};

use super::{
    family::{Kind, Metric, Scope, exposition, metrics},
    ready,
};
use crate::{
    protocol::{Container, ParentState, Runtime, Status},
    runtime::State,
};

mod http;

/// The state with every word.
pub(super) fn state() -> State {
    let golden = include_str!("../protocol/tests/schema_1.json");
    let Status { mut agents, .. } = serde_json::from_str(golden).unwrap();
    State::from(agents.remove(0))
}

fn text(state: State, children: bool) -> String {
    exposition(Arc::new(state), children).unwrap()
}

#[test]
fn every_metric_has_a_description_and_at_least_one_series() {
    let shown = text(state(), true);
    assert!(shown.ends_with("\n# EOF\n"), "{shown}");
    for metric in metrics() {
        let Metric { help, unit, .. } = metric;
        let name = metric.series_name();
        let family = name.trim_end_matches("_total").trim_end_matches("_info");
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Info => "info",
        };
        let mut lines = vec![
            format!("# HELP {family} {help}"),
            format!("# TYPE {family} {kind}"),
        ];
        lines.extend(unit.map(|unit| format!("# UNIT {family} {unit}")));
        let lines = lines.join("\n") + "\n" + &name;
        assert!(shown.contains(&lines), "no\n{lines}\nin\n{shown}");
        assert!(!help.contains('\n') && !help.ends_with('.'), "{name}");
    }
    let bounded = text(state(), false);
    assert!(!bounded.contains("ipvlan_child_"), "{bounded}");
}

/// A name is whatever a container or a user of the host chose.
#[test]
fn hostile_names_stay_within_their_label() {
    let hostile = "a\"} 7\nipvlan_syncs_total 1\\";
    let mut state = state();
    state.children.truncate(1);
    let child = &mut state.children[0];
    child.child.name = hostile.to_owned();
    child.child.netns.inode = Some(5);
    child.child.netns.container = Some(Container {
        runtime: Runtime::Docker.into(),
        id: None,
        name: Some("\u{202e}\r\"".to_owned()),
        pod: None,
        pod_uid: None,
    });
    child.parent = "p\"".to_owned();
    let shown = text(state, true);
    let line = concat!(
        r#"ipvlan_child_addresses{parent="p\"",netns="5",netns_name=""#,
        "\u{202e}\r",
        r#"\"",child="a\"} 7\nipvlan_syncs_total 1\\"} "#
    );
    assert!(shown.contains(line), "{shown}");
    let syncs = shown
        .lines()
        .filter(|of| of.starts_with("ipvlan_syncs_total"));
    assert_eq!(syncs.count(), 1);
}

/// After a rename, a parent that waits can have the name of one that is served.
#[test]
fn series_are_told_apart_by_their_labels() {
    let mut state = state();
    let mut twin = state.agent.parents[0].clone();
    twin.state = ParentState::Waiting.into();
    twin.up = !twin.up;
    let is_up = state.agent.parents[0].up;
    state.agent.parents.insert(0, twin);
    for metric in metrics() {
        let mut labels: Vec<_> = metric
            .series(&state)
            .into_iter()
            .map(|of| of.labels)
            .collect();
        let before = labels.len();
        labels.sort();
        labels.dedup();
        assert_eq!(labels.len(), before, "{}", metric.name);
        let widths = labels.iter().all(|of| of.len() == metric.labels.len());
        assert!(widths, "{}", metric.name);
    }
    let name = &state.agent.parents[0].name;
    let line = format!(
        "ipvlan_parent_up{{parent=\"{name}\"}} {}\n",
        u8::from(is_up)
    );
    let shown = text(state.clone(), false);
    assert!(shown.contains(&line), "{shown}");
}

#[test]
fn agent_is_ready_when_each_parent_has_programs() {
    let mut state = state();
    state.agent.parents.truncate(1);
    state.agent.parents[0].state = ParentState::Degraded.into();
    let name = state.agent.parents[0].name.clone();
    assert_eq!(ready::reasons(&state), [""; 0]);
    let hooks = std::mem::take(&mut state.agent.parents[0].hooks);
    let reason = |text: &str| vec![format!("{name}: {text}")];
    assert_eq!(ready::reasons(&state), reason("no program is attached"));
    state.agent.parents[0].hooks = hooks;
    state.agent.parents[0].state = ParentState::Waiting.into();
    state.agent.parents[0].reason = Some("it is a bridge port".to_owned());
    assert_eq!(ready::reasons(&state), reason("it is a bridge port"));
    state.agent.parents[0].reason = Some(String::new());
    let expected = reason("no sync has looked for it yet");
    assert_eq!(ready::reasons(&state), expected);
}

/// The table of docs/metrics.md, written anew with `UPDATE_DOCS=1`.
#[test]
fn table_of_the_document_has_every_metric() {
    const BEGIN: &str = "<!-- The table is written by `UPDATE_DOCS=1 cargo test`. -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let document = fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let mut table = "| Metric | Type | Labels | |\n|---|---|---|---|\n".to_owned();
    for metric in metrics() {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Info => "info",
        };
        let labels: Vec<String> = metric.labels.iter().map(|of| format!("`{of}`")).collect();
        let scope = match metric.scope {
            Scope::Bounded => "",
            Scope::Children => " (`--metrics-children`)",
        };
        let row = [
            format!("`{}`", metric.series_name()),
            kind.to_owned(),
            labels.join(", "),
            format!("{}{scope}", metric.help),
        ];
        table += "| ";
        table += &row.join(" | ");
        table += " |\n";
    }
    let expected = format!("{before}{BEGIN}{}\n\n{after}", table.trim_end());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, &expected).unwrap();
    }
    assert_eq!(
        fs::read_to_string(path).unwrap(),
        expected,
        "set UPDATE_DOCS"
    );
}
