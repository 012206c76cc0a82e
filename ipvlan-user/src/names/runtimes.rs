//! Names of containers, where the runtimes leave them.

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    cgroup::{self, Membership},
    process::{Processes, read_start},
    shown,
};
use crate::protocol::Runtime;

/// How far above a process its monitor is looked for.
const GENERATIONS: usize = 4;
/// How many entries of a directory are read.
const ENTRIES: usize = 8192;
/// How many bytes of a file of Docker are read.
const LONGEST: u64 = 1 << 20;

/// Directories of runtimes; what may not be read has no names.
#[derive(Debug)]
pub(super) struct Places {
    /// Has a directory `<namespace>_<pod>_<uid>` for each pod.
    pods: PathBuf,
    /// Has a link `<pod>_<namespace>_<container>-<id>.log` for each container of a pod.
    containers: PathBuf,
    /// Has a directory for each container of Docker. Only root may read it.
    docker: PathBuf,
}

impl Places {
    /// Returns the usual places below a root directory.
    pub(super) fn below(root: &Path) -> Self {
        Self {
            pods: root.join("var/log/pods"),
            containers: root.join("var/log/containers"),
            docker: root.join("var/lib/docker/containers"),
        }
    }
}

/// Names that one request looks up. A directory is read at most once, and only if it is needed.
pub(super) struct Lookup<'a> {
    places: &'a Places,
    processes: &'a Processes,
    /// From the uid of a pod to `<namespace>/<pod>`.
    pods: OnceCell<BTreeMap<String, String>>,
    /// From the id of a container to its name in its pod.
    containers: OnceCell<BTreeMap<String, String>>,
}

impl<'a> Lookup<'a> {
    pub(super) const fn new(places: &'a Places, processes: &'a Processes) -> Self {
        Self {
            places,
            processes,
            pods: OnceCell::new(),
            containers: OnceCell::new(),
        }
    }

    /// Returns the pod with this uid, as `<namespace>/<pod>`.
    pub(super) fn pod(&self, uid: &str) -> Option<String> {
        let pods = self.pods.get_or_init(|| index(&self.places.pods, pod_of));
        pods.get(uid).cloned()
    }

    /// Returns the name of a container.
    pub(super) fn name(&self, of: &Membership, pid: i32) -> Option<String> {
        let id = of.id.as_deref();
        match of.runtime {
            Runtime::Docker if of.pod_uid.is_none() => self.docker_name(id?),
            Runtime::Podman => self.monitor_name(id?, pid),
            Runtime::Lxc | Runtime::Machined | Runtime::Systemd => of.name.clone(),
            Runtime::Docker | Runtime::Containerd | Runtime::CriO | Runtime::Kubernetes => {
                let containers = &self.containers;
                let names = containers.get_or_init(|| index(&self.places.containers, container_of));
                names.get(id?).cloned()
            }
        }
    }

    fn docker_name(&self, id: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Config {
            #[serde(rename = "Name")]
            name: String,
        }
        let path = self.places.docker.join(id).join("config.v2.json");
        let Config { name } = serde_json::from_slice(&read_start(&path, LONGEST)?).ok()?;
        let name = name.strip_prefix('/').unwrap_or(&name).as_bytes();
        (!name.is_empty()).then(|| shown(name))
    }

    /// Returns the name that the monitor (conmon) above a process has for the container with this id. A process of the
    /// container is no monitor: it could have any arguments.
    fn monitor_name(&self, id: &str, mut pid: i32) -> Option<String> {
        for _ in 0..GENERATIONS {
            pid = self.processes.stat(pid)?.parent;
            if pid <= 1 {
                return None;
            }
            let above = cgroup::parse(&self.processes.cgroup(pid)?);
            if above.is_some_and(|above| above.runtime != Runtime::Systemd) {
                continue;
            }
            let arguments = self.processes.arguments(pid)?;
            let is_of = value(&arguments, b"-c")? == id.as_bytes();
            return is_of.then(|| value(&arguments, b"-n").map(shown))?;
        }
        None
    }
}

/// Returns the argument behind an option.
fn value<'a>(arguments: &'a [Vec<u8>], option: &[u8]) -> Option<&'a [u8]> {
    let at = arguments.iter().position(|it| it == option)?;
    arguments
        .get(at + 1)
        .map(Vec::as_slice)
        .filter(|value| !value.is_empty())
}

fn index(
    directory: &Path,
    parse: impl Fn(&[u8]) -> Option<(String, String)>,
) -> BTreeMap<String, String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .take(ENTRIES)
        .filter_map(|entry| parse(entry.ok()?.file_name().as_bytes()))
        .collect()
}

/// Parses `<namespace>_<pod>_<uid>`; none of the three has an underscore.
fn pod_of(name: &[u8]) -> Option<(String, String)> {
    let mut fields = name.split(|&byte| byte == b'_');
    let (namespace, pod, uid) = (fields.next()?, fields.next()?, fields.next()?);
    let is_pod = fields.next().is_none() && ![namespace, pod, uid].contains(&&b""[..]);
    is_pod.then(|| {
        let pod = [namespace, b"/", pod].concat();
        (shown(uid), shown(&pod))
    })
}

/// Parses `<pod>_<namespace>_<container>-<id>.log`.
fn container_of(name: &[u8]) -> Option<(String, String)> {
    let name = name.strip_suffix(b".log")?;
    let mut fields = name.split(|&byte| byte == b'_').skip(2);
    let container = fields.next().filter(|_| fields.next().is_none())?;
    let at = container.iter().rposition(|&byte| byte == b'-')?;
    let (container, id) = (&container[..at], &container[at + 1..]);
    (!container.is_empty()).then(|| (shown(id), shown(container)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_and_containers_are_read_from_names_of_files() {
        let pair = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));
        for (name, expected) in [
            ("default_web_0a-1", pair("0a-1", "default/web")),
            ("kube-system_dns-1_0a", pair("0a", "kube-system/dns-1")),
            ("default_web", None),
            ("default__0a", None),
            ("a_b_c_d", None),
            ("", None),
        ] {
            assert_eq!(pod_of(name.as_bytes()), expected, "{name}");
        }
        for (name, expected) in [
            ("web_default_nginx-main-0a.log", pair("0a", "nginx-main")),
            ("web_default_nginx-0a", None),
            ("web_default_nginx.log", None),
            ("web_default_-0a.log", None),
            ("web_nginx-0a.log", None),
            ("w_e_b_nginx-0a.log", None),
        ] {
            assert_eq!(container_of(name.as_bytes()), expected, "{name}");
        }
    }
}
