//! From the text of `/proc/PID/cgroup` to the container or service that a process belongs to.
//!
//! Pure. A container whose cgroup is delegated to it can create cgroups of any name below its own, so the outermost
//! container of a path is returned: only the runtime of the host creates that.

use std::borrow::Cow;

use super::shown;
use crate::protocol::Runtime;

/// Length of the id of a container, in hexadecimal digits.
const ID: usize = 64;
/// Lengths of the uid of a pod: of a static pod (an MD5), and of any other (RFC 9562).
const POD_UIDS: [usize; 2] = [32, 36];
/// What the kernel appends to the path of a cgroup that was removed (`cgroup_path`).
const DELETED: &[u8] = b" (deleted)";

/// Beginnings of names of cgroups that are followed by the id of a container. `libpod-conmon-` and `crio-conmon-` are
/// cgroups of monitors: what follows `libpod-` and `crio-` in them is no id.
const PREFIXES: [(&[u8], Runtime); 6] = [
    (b"docker-", Runtime::Docker),
    (b"libpod-", Runtime::Podman),
    // Of `podman run --cgroups=split`, as Quadlet's units use it.
    (b"libpod-payload-", Runtime::Podman),
    (b"cri-containerd-", Runtime::Containerd),
    (b"nerdctl-", Runtime::Containerd),
    (b"crio-", Runtime::CriO),
];

/// The container or service that a process belongs to. Texts are escaped and capped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The runtime.
    pub runtime: Runtime,
    /// The id of a container, 64 hexadecimal digits; none if the runtime has no ids or the cgroup does not show it.
    pub id: Option<String>,
    /// The name, where the cgroup shows it: of LXC containers, machines and services.
    pub name: Option<String>,
    /// The uid of the pod, with dashes.
    pub pod_uid: Option<String>,
}

impl Membership {
    const fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            id: None,
            name: None,
            pod_uid: None,
        }
    }

    fn with_id(runtime: Runtime, id: &[u8]) -> Option<Self> {
        let id = Some(hex(id, &[ID])?.to_owned());
        Some(Self {
            id,
            ..Self::new(runtime)
        })
    }

    fn with_name(runtime: Runtime, name: &[u8]) -> Option<Self> {
        let name = (!name.is_empty()).then(|| shown(name))?;
        Some(Self {
            name: Some(name),
            ..Self::new(runtime)
        })
    }
}

/// Parses the text of `/proc/PID/cgroup`, of version 1, 2 or both (`cgroups(7)`); none if it shows neither a container
/// nor a service. A container takes precedence over a service.
#[must_use]
pub fn parse(text: &[u8]) -> Option<Membership> {
    let lines = || {
        text.split(|&byte| byte == b'\n').filter_map(|line| {
            let mut fields = line.splitn(3, |&byte| byte == b':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            Some((controllers, path.strip_suffix(DELETED).unwrap_or(path)))
        })
    };
    let is_of_systemd =
        |controllers: &[u8]| controllers.is_empty() || controllers == b"name=systemd";
    lines().find_map(|(_, path)| container(path)).or_else(|| {
        lines()
            .filter(|&(controllers, _)| is_of_systemd(controllers))
            .find_map(|(_, path)| service(path))
    })
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|component| !component.is_empty())
}

/// Returns the outermost container of a path, or the pod, if it shows only that.
fn container(path: &[u8]) -> Option<Membership> {
    let mut parent: &[u8] = b"";
    let mut pod_uid = None;
    for component in components(path) {
        let found = if let Some((slice, id)) = of_colons(component) {
            pod_uid = pod_uid.or_else(|| pod(slice));
            Membership::with_id(Runtime::Containerd, id)
        } else {
            pod_uid = pod_uid.or_else(|| pod(component));
            named(component).or_else(|| below(parent, component, pod_uid.is_some()))
        };
        if let Some(found) = found {
            return Some(Membership { pod_uid, ..found });
        }
        parent = component;
    }
    pod_uid.is_some().then(|| Membership {
        pod_uid,
        ..Membership::new(Runtime::Kubernetes)
    })
}

/// Splits `SLICE:cri-containerd:ID`, where kubelet names cgroups as systemd does and the runtime does not.
fn of_colons(component: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = component.splitn(3, |&byte| byte == b':');
    let (slice, prefix, id) = (fields.next()?, fields.next()?, fields.next()?);
    (prefix == b"cri-containerd").then_some((slice, id))
}

/// Returns the container whose cgroup has this name.
fn named(component: &[u8]) -> Option<Membership> {
    let stem = component.strip_suffix(b".scope").unwrap_or(component);
    let mut prefixes = PREFIXES.iter();
    let by_id = prefixes
        .find_map(|&(prefix, runtime)| Membership::with_id(runtime, stem.strip_prefix(prefix)?));
    by_id
        .or_else(|| {
            let name = component.strip_prefix(b"lxc.payload.")?;
            Membership::with_name(Runtime::Lxc, name)
        })
        .or_else(|| {
            let machine = component.strip_prefix(b"machine-");
            let machine = machine.and_then(|rest| rest.strip_suffix(b".scope"));
            let nspawn = component.strip_prefix(b"systemd-nspawn@");
            let nspawn = nspawn.and_then(|rest| rest.strip_suffix(b".service"));
            Membership::with_name(Runtime::Machined, &unescaped(machine.or(nspawn)?))
        })
}

/// Returns the container whose cgroup has this name below a cgroup of the name `parent`: of runtimes that do not
/// use systemd for cgroups.
fn below(parent: &[u8], component: &[u8], is_in_pod: bool) -> Option<Membership> {
    match parent {
        b"docker" => Membership::with_id(Runtime::Docker, component),
        b"lxc" | b"lxc.payload" => Membership::with_name(Runtime::Lxc, component),
        _ if is_in_pod => Membership::with_id(Runtime::Kubernetes, component),
        _ => None,
    }
}

/// Returns the uid of the pod of a cgroup `kubepods[-QOS]-podUID.slice`, with underscores for dashes, or `podUID`.
fn pod(component: &[u8]) -> Option<String> {
    let uid = match component.strip_suffix(b".slice") {
        Some(slice) => {
            let at = slice.windows(4).rposition(|window| window == b"-pod")?;
            slice.starts_with(b"kubepods").then(|| &slice[at + 4..])?
        }
        None => component.strip_prefix(b"pod")?,
    };
    let uid: Vec<u8> = uid
        .iter()
        .map(|&byte| if byte == b'_' { b'-' } else { byte })
        .collect();
    let digits: Vec<u8> = uid.iter().copied().filter(|&byte| byte != b'-').collect();
    (POD_UIDS.contains(&uid.len()) && hex(&digits, &[32]).is_some())
        .then(|| String::from_utf8(uid).ok())?
}

/// Returns the outermost service of a path, the service manager of a user aside.
fn service(path: &[u8]) -> Option<Membership> {
    let is_service = |component: &&[u8]| {
        component.ends_with(b".service")
            && !component.starts_with(b".")
            && !component.starts_with(b"user@")
    };
    Membership::with_name(Runtime::Systemd, components(path).find(is_service)?)
}

/// Returns these bytes as text if they are lower-case hexadecimal digits, as many as one of `lengths`.
fn hex<'a>(bytes: &'a [u8], lengths: &[usize]) -> Option<&'a str> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_hex = lengths.contains(&bytes.len()) && bytes.iter().all(is_digit);
    is_hex.then(|| str::from_utf8(bytes).ok())?
}

/// Resolves the escapes of `systemd-escape(1)` in a name of a machine: `\x` and two hexadecimal digits. A dash stays,
/// since no name of a machine has a slash.
fn unescaped(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'\\') {
        return name.into();
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        let code = rest
            .strip_prefix(br"\x")
            .and_then(|digits| digits.first_chunk::<2>())
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        rest = if code.is_some() { &rest[4..] } else { behind };
        bytes.push(code.unwrap_or(byte));
    }
    bytes.into()
}

#[cfg(test)]
mod tests;
