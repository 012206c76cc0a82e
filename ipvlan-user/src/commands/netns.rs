//! Short names of netns.

use crate::{
    protocol::{Child, Container, Netns, Runtime, Word},
    text::netns_label,
};

/// How many digits of the id of a container are shown, as `docker ps` shows them.
const SHORT_ID: usize = 12;

/// Returns the name of the netns of a child, with the label of the child before it. A label never stands alone, since
/// the netns can set it to any text.
pub(super) fn of_child(child: &Child) -> String {
    let netns = netns(&child.netns);
    match child.label.as_deref() {
        Some(label) if !label.is_empty() => format!("label {label}, {netns}"),
        _ => netns,
    }
}

/// Returns the name of a netns: that of its container, of its file, of its service, or of its process.
pub(super) fn netns(of: &Netns) -> String {
    let Netns {
        nsid,
        names,
        pid,
        comm,
        container,
        inode: _,
    } = of;
    let is_service = |of: &Container| of.runtime == Runtime::Systemd;
    let with_pid = |name: String| match pid {
        Some(pid) => format!("{name} (pid {pid})"),
        None => name,
    };
    if nsid.is_none() {
        return netns_label(names, *pid, *nsid);
    }
    let containers = || container.as_ref().and_then(name_of);
    let is_container = !container.as_ref().is_some_and(is_service);
    if is_container && let Some(name) = containers() {
        return with_pid(name);
    }
    if !names.is_empty() {
        return netns_label(names, *pid, *nsid);
    }
    let comm = comm.clone().filter(|comm| !comm.is_empty());
    match containers().or(comm) {
        Some(name) => with_pid(name),
        None => netns_label(names, *pid, *nsid),
    }
}

/// Returns the name of a container, or else the beginning of its id; none if it has neither.
fn name_of(container: &Container) -> Option<String> {
    let Container {
        runtime,
        id,
        name,
        pod,
        pod_uid,
    } = container;
    let (pod, pod_uid) = (pod.as_ref(), pod_uid.as_ref());
    if let Some(pod) = pod {
        return Some(format!("pod {pod}"));
    }
    let word = match runtime {
        Word::Known(Runtime::Systemd) => return name.clone(),
        Word::Known(Runtime::Machined) => "machine".to_owned(),
        Word::Known(Runtime::CriO) => "cri-o".to_owned(),
        runtime => runtime.to_string(),
    };
    let short_id = || id.as_ref().map(|id| id.chars().take(SHORT_ID).collect());
    // The container that a pod is known by is the one that holds its netns, of a name that says nothing.
    let name = name.clone().filter(|_| pod_uid.is_none());
    let name = name.or_else(short_id).map(|name| format!("{word} {name}"));
    name.or_else(|| pod_uid.map(|uid| format!("pod {uid}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn read(netns: &Value) -> Netns {
        let mut all = json!({"nsid": 5, "inode": null, "names": []});
        all.as_object_mut()
            .unwrap()
            .extend(netns.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn a_netns_is_shown_by_the_best_name_that_is_known() {
        let named = |runtime, name| json!({"runtime": runtime, "name": name, "id": ID});
        let rows = [
            (json!({"nsid": null, "pid": 1, "comm": "init"}), "(own)"),
            (json!({}), "nsid 5"),
            (json!({"pid": 944}), "pid 944"),
            (json!({"pid": 944, "comm": "nginx"}), "nginx (pid 944)"),
            (
                json!({"pid": 944, "comm": "sh", "names": ["/run/netns/red"]}),
                "red",
            ),
            (
                json!({"pid": 944, "names": ["2f"], "container": named("docker", "web")}),
                "docker web (pid 944)",
            ),
            (
                json!({"pid": 944, "container": {"runtime": "docker", "id": ID}}),
                "docker 0123456789ab (pid 944)",
            ),
            (
                json!({"pid": 9, "container": named("podman", "db")}),
                "podman db (pid 9)",
            ),
            (json!({"container": named("lxc", "c1")}), "lxc c1"),
            (
                json!({"container": named("machined", "c-1")}),
                "machine c-1",
            ),
            (
                json!({"container": named("of_the_future", "x")}),
                "of_the_future x",
            ),
            (
                json!({"pid": 9, "comm": "a", "container": {"runtime": "systemd", "name": "a@b.service"}}),
                "a@b.service (pid 9)",
            ),
            (
                json!({"names": ["red"], "container": {"runtime": "systemd", "name": "a.service"}}),
                "red",
            ),
            (
                json!({"pid": 9, "container": {"runtime": "cri_o", "id": ID, "pod": "default/web"}}),
                "pod default/web (pid 9)",
            ),
            (
                json!({"container": {"runtime": "cri_o", "id": ID, "name": "POD", "pod_uid": "0a-1"}}),
                "cri-o 0123456789ab",
            ),
            (
                json!({"container": {"runtime": "kubernetes", "pod_uid": "0a-1"}}),
                "pod 0a-1",
            ),
            (
                json!({"pid": 9, "comm": "", "container": {"runtime": "docker"}}),
                "pid 9",
            ),
        ];
        for (of, shown) in rows {
            assert_eq!(netns(&read(&of)), shown, "{of}");
        }
    }

    #[test]
    fn a_label_is_marked_as_one_and_hides_no_name() {
        let child = |label: Value| -> Child {
            serde_json::from_value(json!({
                "name": "ipvl0", "ifindex": 7, "mode": "l3", "up": true, "delivery": "pass",
                "netns": {"nsid": 5, "inode": null, "names": [], "pid": 944},
                "state": "no-address", "reason": null, "counters": {}, "addresses": [], "label": label,
                "link": {"rx_packets": 0, "rx_bytes": 0, "tx_packets": 0, "tx_bytes": 0}
            }))
            .unwrap()
        };
        for (label, shown) in [
            (json!("docker web"), "label docker web, pid 944"),
            (json!(""), "pid 944"),
            (Value::Null, "pid 944"),
        ] {
            assert_eq!(of_child(&child(label)), shown);
        }
    }
}
