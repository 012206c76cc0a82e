//! `--metrics`: what a live agent exposes, and that the dashboard and the alerts read nothing else.

#![allow(
    clippy::float_cmp,
    reason = "numbers of things, which are exact up to 2^53"
)]

mod openmetrics;
mod promql;

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    net::TcpStream,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    time::{Duration, SystemTime},
};

use ipvlan_user::metrics::{Kind, Metric, metrics};
use saphyr::{LoadableYamlNode as _, Yaml};
use serde_json::Value;

use self::{
    openmetrics::{Exposition, Family},
    promql::Selector,
};
use crate::common::{HOST_IP, Node, OTHER, PARENT, PATIENCE, Reports as _, wait_until};

const ADDRESS: &str = "127.0.0.1:9469";

/// The status line and the body of an answer.
fn request(mut stream: impl std::io::Read + std::io::Write, page: &str) -> (String, String) {
    write!(stream, "GET {page} HTTP/1.1\r\nHost: ipvlan\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.lines().next().unwrap().to_owned();
    (status, body.to_owned())
}

/// A page of the agent of a node.
#[track_caller]
fn page(node: &Node, page: &str) -> (String, String) {
    let stream = node.host.run(|| Ok(TcpStream::connect(ADDRESS)?)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    request(stream, page)
}

#[track_caller]
fn scrape(node: &Node) -> Exposition {
    let (status, body) = page(node, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    openmetrics::parse(&body).unwrap_or_else(|error| panic!("{error}\n{body}"))
}

/// A node whose loopback device is up, with an agent that serves metrics.
fn served(options: &[&str]) -> (Node, ipvlan_tests::agent::Agent) {
    let node = Node::new();
    node.on_host("link set lo up");
    let agent = node.start(&[&["--metrics", ADDRESS], options].concat());
    (node, agent)
}

#[test]
fn metrics_are_those_of_the_status() {
    let (node, agent) = served(&[
        "--xdp",
        "generic",
        "--max-addresses",
        "64",
        "--audit",
        "3600",
    ]);
    for _ in 0..3 {
        node.arp(HOST_IP, PATIENCE).unwrap();
    }
    let seen = scrape(&node);
    let parent = ("parent", PARENT);
    let status = agent.parent(0);
    for (state, value) in [("ready", 1.0), ("degraded", 0.0), ("waiting", 0.0)] {
        let shown = seen.value("ipvlan_parent_state", &[parent, ("state", state)]);
        assert_eq!(shown, value, "{state}");
    }
    for program in &status.hooks {
        let (hook, mechanism) = (program.hook.to_string(), program.attach.to_string());
        let labels = [parent, ("hook", &*hook), ("mechanism", &*mechanism)];
        assert_eq!(seen.value("ipvlan_hook_attached", &labels), 1.0);
    }
    assert_eq!(seen.0["ipvlan_hook_attached"].series.len(), 3);
    let answered_by_host = seen.value(
        "ipvlan_frames_total",
        &[
            parent,
            ("hook", "xdp"),
            ("reason", "host_address"),
            ("class", "passed"),
        ],
    );
    assert!(answered_by_host >= 3.0, "{answered_by_host}");
    let v4 = ("map", "addresses_v4");
    assert_eq!(
        seen.value("ipvlan_map_entries_capacity", &[parent, v4]),
        64.0
    );
    // The host's, and its gateways'.
    assert!(seen.value("ipvlan_map_entries", &[parent, v4]) >= 1.0);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let ago = |name: &str| now - seen.value(name, &[]);
    assert!((0.0..60.0).contains(&ago("ipvlan_start_timestamp_seconds")));
    assert!((-1.0..60.0).contains(&ago("ipvlan_last_sync_timestamp_seconds")));
    // The default of --stale-after is 600 s.
    let left = seen.value("ipvlan_deadline_timestamp_seconds", &[parent]) - now;
    assert!((500.0..601.0).contains(&left), "{left}");
    let first = seen.value("ipvlan_first_sync_duration_seconds", &[]);
    let longest = seen.value("ipvlan_longest_sync_duration_seconds", &[]);
    assert!(0.0 < first && first <= longest, "{first} {longest}");
    assert_eq!(seen.value("ipvlan_last_sync_successful", &[]), 1.0);
    assert_eq!(
        seen.value("ipvlan_netns_quota_capacity", &[("quota", "groups")]),
        1024.0
    );
    assert!(
        !seen.0.contains_key("ipvlan_child_info"),
        "it was not asked for"
    );
    let syncs = seen.value("ipvlan_syncs_total", &[]);
    node.on_host("address add 192.0.2.77/32 dev ens34");
    let again = || scrape(&node).value("ipvlan_syncs_total", &[]);
    wait_until(PATIENCE, "a sync", again, |&now| now > syncs);
    agent.stop().unwrap();
}

#[test]
fn agent_is_healthy_when_it_answers_and_ready_when_all_parents_are_served() {
    let (node, agent) = served(&[]);
    let ok = "HTTP/1.1 200 OK".to_owned();
    assert_eq!(page(&node, "/healthz"), (ok.clone(), "ok\n".to_owned()));
    assert_eq!(page(&node, "/readyz"), (ok.clone(), "ready\n".to_owned()));
    node.on_host(&format!("link delete {PARENT}"));
    let ready = || page(&node, "/readyz");
    let unavailable = "HTTP/1.1 503 Service Unavailable";
    let (_, reasons) = wait_until(PATIENCE, "not ready", ready, |(status, _)| {
        status == unavailable
    });
    assert!(
        reasons.starts_with(&format!("{PARENT}: there is no interface")),
        "{reasons}"
    );
    assert_eq!(page(&node, "/healthz").0, ok);
    let waiting = [("parent", PARENT), ("state", "waiting")];
    assert_eq!(scrape(&node).value("ipvlan_parent_state", &waiting), 1.0);
    agent.stop().unwrap();
}

#[test]
fn socket_is_for_the_group_and_gone_with_the_agent() {
    let node = Node::new();
    let socket = node.dir.path().join("metrics.sock");
    let option = format!("unix:{}", socket.display());
    let agent = node.start(&["--metrics", &option]);
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o660);
    let (status, body) = request(UnixStream::connect(&socket).unwrap(), "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    openmetrics::parse(&body).unwrap();
    node.cable(OTHER, "lan1");
    node.fails(&[OTHER], &["--metrics", &option])
        .exits(1)
        .reports(&format!("another process listens at {option}"))
        .reports("hint: give each agent an endpoint of its own");
    // Nothing of it is left, with the directory.
    agent.stop().unwrap();
    assert!(!socket.exists());

    // One that was killed leaves its socket, which the next one replaces.
    let agent = node.start(&["--metrics", &option]);
    agent.kill().unwrap();
    assert!(socket.exists());
    let agent = node.start(&["--metrics", &option]);
    request(UnixStream::connect(&socket).unwrap(), "/healthz");
    agent.stop().unwrap();
    fs::create_dir_all(node.dir.path()).unwrap();
    fs::write(&socket, "mine").unwrap();
    node.fails(&[PARENT], &["--metrics", &option])
        .exits(1)
        .reports("is not replaced: it is a regular file");
    assert_eq!(fs::read(&socket).unwrap(), b"mine");
}

/// Clients that send nothing, or half a request, delay neither the agent nor another client for long.
#[test]
fn slow_scrapers_delay_no_status() {
    let (node, agent) = served(&[]);
    let connect = || node.host.run(|| Ok(TcpStream::connect(ADDRESS)?)).unwrap();
    let slow: Vec<TcpStream> = (0..15).map(|_| connect()).collect();
    for mut stream in &slow {
        stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    }
    agent.assert_ready();
    node.arp(HOST_IP, PATIENCE).unwrap();
    // Eight at a time are dropped after two seconds.
    let stream = connect();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(request(stream, "/healthz").0, "HTTP/1.1 200 OK");
    agent.stop().unwrap();
}

/// A name that the dashboard or an alert reads, and where.
struct Expression {
    place: String,
    text: String,
    /// Labels that are shown with the result.
    shown: Vec<String>,
}

fn contrib(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../contrib")
        .join(file);
    fs::read_to_string(path).unwrap()
}

/// The names between `open` and `close`.
fn between(text: &str, open: &str, close: &str) -> Vec<String> {
    let parts = text.split(open).skip(1);
    parts
        .map(|part| part.split(close).next().unwrap().trim().to_owned())
        .collect()
}

fn alerts() -> Vec<Expression> {
    let text = contrib("alerts.yml");
    let documents = Yaml::load_from_str(&text).unwrap();
    let mut all = Vec::new();
    for group in documents[0]["groups"].as_sequence().unwrap() {
        for rule in group["rules"].as_sequence().unwrap() {
            let place = rule["alert"].as_str().unwrap().to_owned();
            let severity = rule["labels"]["severity"].as_str().unwrap();
            assert!(["critical", "warning"].contains(&severity), "{place}");
            let annotations = &rule["annotations"];
            let texts = ["summary", "description"].map(|key| annotations[key].as_str().unwrap());
            let labels = between(&texts.concat(), "$labels.", "}}");
            all.push(Expression {
                place,
                text: rule["expr"].as_str().unwrap().to_owned(),
                shown: labels,
            });
        }
    }
    all
}

fn panels() -> Vec<Expression> {
    let dashboard: Value = serde_json::from_str(&contrib("grafana.json")).unwrap();
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = target["expr"].as_str().unwrap();
            let legend = target["legendFormat"].as_str().unwrap();
            all.push(Expression {
                place: title.to_owned(),
                text: text.replace("$__rate_interval", "5m"),
                shown: between(legend, "{{", "}}"),
            });
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else {
            continue;
        };
        let inner = query.strip_prefix("label_values(").unwrap();
        let (text, label) = inner.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
        all.push(Expression {
            place: format!("variable {}", variable["name"]),
            text: text.to_owned(),
            shown: vec![label.to_owned()],
        });
    }
    all
}

/// Labels that Prometheus itself adds.
const OF_PROMETHEUS: [&str; 2] = ["instance", "job"];
/// A metric that Prometheus itself adds.
const UP: &str = "up";

/// Returns the labels that the series of a metric have, those of children from the list of metrics: there is no ipvlan
/// on every host that runs tests.
fn labels_of(seen: &Exposition, name: &str) -> BTreeSet<String> {
    let mut labels: BTreeSet<String> = OF_PROMETHEUS.map(str::to_owned).into();
    if name == UP {
        return labels;
    }
    let family = seen.0.get(name);
    let Family { series, help, .. } = family.unwrap_or_else(|| panic!("there is no {name}"));
    assert!(!help.is_empty(), "{name}");
    let is_it = |metric: &&Metric| metric.series_name() == name;
    let metric = metrics().find(is_it).unwrap();
    if let Some((of, _)) = series.first() {
        labels.extend(of.keys().cloned());
    } else {
        assert!(name.starts_with("ipvlan_child_"), "{name} has no series");
        labels.extend(metric.labels.iter().map(|&of| of.to_owned()));
    }
    labels
}

/// The values that a matcher names are those of a series.
fn assert_values(seen: &Exposition, of: &Selector, place: &str) {
    for (label, operator, value) in &of.matchers {
        let is_of_prometheus = OF_PROMETHEUS.contains(&&**label) || value.contains('$');
        if is_of_prometheus || of.name.starts_with("ipvlan_child_") {
            continue;
        }
        let values: Vec<&str> = match &**operator {
            "=~" | "!~" => value.split('|').collect(),
            _ => vec![value],
        };
        for value in values {
            let series = &seen.0[&of.name].series;
            let has = series.iter().any(|(labels, _)| labels[label] == value);
            assert!(
                has,
                "{place}: no series of {} has {label}={value:?}",
                of.name
            );
        }
    }
}

#[test]
fn dashboard_and_alerts_read_what_a_live_agent_exposes() {
    let (node, agent) = served(&["--metrics-children"]);
    let seen = scrape(&node);
    agent.stop().unwrap();
    // All metrics, each with type, help and, if it has one, unit.
    let names: BTreeSet<String> = metrics().map(Metric::series_name).collect();
    assert_eq!(seen.0.keys().cloned().collect::<BTreeSet<_>>(), names);
    for metric in metrics() {
        let family = &seen.0[&metric.series_name()];
        assert_eq!(family.unit.as_deref(), metric.unit, "{}", metric.name);
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Info => "info",
        };
        assert_eq!(family.kind, kind, "{}", metric.name);
    }
    let (alerts, panels) = (alerts(), panels());
    assert!(alerts.len() >= 15 && panels.len() >= 25);
    for Expression { place, text, shown } in alerts.iter().chain(&panels) {
        let reads = promql::parse(text).unwrap_or_else(|error| panic!("{place}: {error}"));
        let mut known = BTreeSet::new();
        for selector in &reads.selectors {
            let labels = labels_of(&seen, &selector.name);
            for (label, ..) in &selector.matchers {
                assert!(
                    labels.contains(label),
                    "{place}: {} has no {label}",
                    selector.name
                );
            }
            assert_values(&seen, selector, place);
            // A range is for what is counted, and what is counted is for ranges.
            let counts = selector.name.ends_with("_total") || text.starts_with("changes(");
            assert_eq!(selector.is_range, counts, "{place}: {selector:?}");
            known.extend(labels);
        }
        for label in reads.labels.iter().chain(shown) {
            assert!(
                known.contains(label),
                "{place}: nothing has a label {label}"
            );
        }
        assert!(!reads.selectors.is_empty(), "{place}");
    }
}
