use proptest::prelude::*;

use super::*;

const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const B: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
const UID: &str = "12345678-9abc-def0-1234-56789abcdef0";

fn parsed(text: &str) -> Option<Membership> {
    parse(text.replace("{A}", A).replace("{B}", B).as_bytes())
}

/// The runtime, and the name or `A`, `B` for an id.
fn short(of: &Membership) -> (Runtime, String) {
    let id = of.id.as_deref().map(|id| match id {
        A => "A",
        B => "B",
        _ => "?",
    });
    let parts = [id, of.name.as_deref()];
    (of.runtime, parts.into_iter().flatten().collect())
}

/// Lines, runtime, and the id or name.
const PATHS: &[(&str, Runtime, &str)] = &[
    // Runtime::Docker, with systemd and without.
    ("0::/system.slice/docker-{A}.scope", Runtime::Docker, "A"),
    ("0::/docker/{A}", Runtime::Docker, "A"),
    (
        "0::/system.slice/docker-{A}.scope/init",
        Runtime::Docker,
        "A",
    ),
    (
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{A}.scope",
        Runtime::Docker,
        "A",
    ),
    (
        "12:pids:/docker/{A}\n1:name=systemd:/docker/{A}\n0::/system.slice/containerd.service",
        Runtime::Docker,
        "A",
    ),
    // Hybrid: version 2 shows nothing.
    ("5:memory:/docker/{A}\n0::/", Runtime::Docker, "A"),
    // podman.
    (
        "0::/machine.slice/libpod-{A}.scope/container",
        Runtime::Podman,
        "A",
    ),
    (
        "0::/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope",
        Runtime::Podman,
        "A",
    ),
    ("0::/libpod_parent/libpod-{A}", Runtime::Podman, "A"),
    (
        "0::/system.slice/db.service/libpod-payload-{A}",
        Runtime::Podman,
        "A",
    ),
    (
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container",
        Runtime::Podman,
        "A",
    ),
    // Kubernetes.
    (
        "0::/kubepods.slice/kubepods-pod12345678_9abc_def0_1234_56789abcdef0.slice/cri-containerd-{A}.scope",
        Runtime::Containerd,
        "A",
    ),
    (
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12345678_9abc_def0_1234_56789abcdef0.slice/crio-{A}.scope",
        Runtime::CriO,
        "A",
    ),
    (
        "0::/kubepods/besteffort/pod12345678-9abc-def0-1234-56789abcdef0/{A}",
        Runtime::Kubernetes,
        "A",
    ),
    (
        "0::/kubepods/pod12345678-9abc-def0-1234-56789abcdef0/crio-{A}",
        Runtime::CriO,
        "A",
    ),
    (
        "0::/system.slice/containerd.service/kubepods-besteffort-pod12345678_9abc_def0_1234_56789abcdef0.slice:cri-containerd:{A}",
        Runtime::Containerd,
        "A",
    ),
    (
        "0::/kubepods/pod12345678-9abc-def0-1234-56789abcdef0",
        Runtime::Kubernetes,
        "",
    ),
    (
        "0::/system.slice/nerdctl-{A}.scope",
        Runtime::Containerd,
        "A",
    ),
    // LXC and Incus.
    ("0::/lxc.payload.c1", Runtime::Lxc, "c1"),
    (
        "0::/lxc.payload.default_web/system.slice/nginx.service",
        Runtime::Lxc,
        "default_web",
    ),
    ("0::/lxc/101/ns/init.scope", Runtime::Lxc, "101"),
    ("4:pids:/lxc/c1\n0::/", Runtime::Lxc, "c1"),
    ("0::/lxc.payload/c1", Runtime::Lxc, "c1"),
    // nspawn and machines.
    (
        "0::/machine.slice/machine-web.scope/payload/init.scope",
        Runtime::Machined,
        "web",
    ),
    (
        r"0::/machine.slice/machine-my\x2dweb.scope/payload",
        Runtime::Machined,
        "my-web",
    ),
    (
        r"0::/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt",
        Runtime::Machined,
        "qemu-1-vm",
    ),
    (
        r"0::/machine.slice/systemd-nspawn@my\x2dweb.service/payload/system.slice/a.service",
        Runtime::Machined,
        "my-web",
    ),
    (
        "0::/machine.slice/systemd-nspawn@my-web.service",
        Runtime::Machined,
        "my-web",
    ),
    // What no escape is stays.
    (
        r"0::/machine.slice/machine-a\x2\xzz.scope",
        Runtime::Machined,
        r"a\\x2\\xzz",
    ),
    // Services.
    (
        "0::/system.slice/nginx.service",
        Runtime::Systemd,
        "nginx.service",
    ),
    (
        "0::/system.slice/system-dhcp.slice/dhcp@eth0.service",
        Runtime::Systemd,
        "dhcp@eth0.service",
    ),
    (
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
        Runtime::Systemd,
        "web.service",
    ),
    (
        "1:name=systemd:/system.slice/a.service/x\n0::/",
        Runtime::Systemd,
        "a.service",
    ),
    // The agent's cgroup namespace is below another.
    ("0::/../docker-{A}.scope", Runtime::Docker, "A"),
    (
        "0::/system.slice/docker-{A}.scope (deleted)",
        Runtime::Docker,
        "A",
    ),
    (
        "0::/system.slice/a.service (deleted)",
        Runtime::Systemd,
        "a.service",
    ),
];

#[test]
fn containers_are_found_in_the_paths_of_their_runtimes() {
    for &(text, runtime, name) in PATHS {
        let found = parsed(text).unwrap_or_else(|| panic!("nothing in {text}"));
        assert_eq!(short(&found), (runtime, name.to_owned()), "{text}");
        let has_pod = text.contains("kubepods").then(|| UID.to_owned());
        assert_eq!(found.pod_uid, has_pod, "{text}");
        // A line feed at the end changes nothing.
        assert_eq!(parsed(&format!("{text}\n")), Some(found));
    }
}

#[test]
fn what_is_no_container_is_none() {
    for text in [
        "",
        "\n",
        "0",
        "0:",
        "0::",
        "0::/",
        "::::",
        "0::/init.scope",
        "0::/user.slice/user-0.slice/session-3.scope",
        "0::/user.slice/user-1000.slice/user@1000.service/init.scope",
        // Monitors.
        "0::/machine.slice/libpod-conmon-{A}.scope",
        "0::/system.slice/crio-conmon-{A}.scope",
        "0::/lxc.monitor.c1",
        "0::/lxc.pivot",
        // No ids.
        "0::/docker/buildx",
        "0::/system.slice/docker-0123.scope",
        "0::/system.slice/docker-{A}0.scope",
        "0::/system.slice/docker-{A}.slice",
        "0::/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
        "0::/{A}",
        // No pods.
        "0::/kubepods.slice/kubepods-burstable.slice",
        "0::/x.slice/x-pod12345678_9abc_def0_1234_56789abcdef0.slice/{A}",
        "0::/podman/{A}",
        "0::/pod0123/{A}",
        // No names.
        "0::/machine.slice/machine-.scope",
        "0::/machine.slice/systemd-nspawn@.service.d",
        "0::/lxc.payload.",
        "0::/lxc",
        "0::/system.slice/.service",
        // A service of another hierarchy than systemd's.
        "3:cpu:/a.service\n0::/",
    ] {
        assert_eq!(parsed(text), None, "{text}");
    }
}

/// A container that its cgroup is delegated to can make cgroups of any name.
#[test]
fn a_container_cannot_pass_for_another() {
    for text in [
        "0::/system.slice/docker-{A}.scope/docker-{B}.scope",
        "0::/docker/{A}/docker/{B}",
        "0::/system.slice/docker-{A}.scope/machine-bank.scope",
        "0::/system.slice/docker-{A}.scope/kubepods-pod12345678_9abc_def0_1234_56789abcdef0.slice/cri-containerd-{B}.scope",
        "0::/system.slice/docker-{A}.scope/system.slice/sshd.service",
        "0::/system.slice/other.service/docker-{A}.scope",
    ] {
        let found = parsed(text).unwrap();
        assert_eq!(short(&found), (Runtime::Docker, "A".to_owned()), "{text}");
        assert_eq!(found.pod_uid, None, "{text}");
    }
}

#[test]
fn names_are_escaped_and_capped() {
    let name = |text: &[u8]| parse(text).unwrap().name.unwrap();
    assert_eq!(name(b"0::/lxc.payload.\x1b[31m\xff"), r"\u{1b}[31m\xff");
    assert_eq!(name(br"0::/machine-a\x1bb\x2f\xff.scope"), r"a\u{1b}b/\xff");
    assert_eq!(
        name("0::/lxc.payload.\u{202e}0hte".as_bytes()),
        r"\u{202e}0hte"
    );
    let huge = format!("0::/lxc.payload.{}", "x".repeat(64 << 10));
    let shown = name(huge.as_bytes());
    assert!(shown.starts_with("xx") && shown.ends_with("x…"));
    assert_eq!(shown.chars().count(), super::super::LONGEST + 1);
}

proptest! {
    #[test]
    fn any_text_is_parsed_into_short_printable_names(
        text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..256),
            r"([0-9]{0,2}:(|pids|name=systemd):(/(docker|lxc|kubepods|pod[0-9a-f-]{36}|(docker|libpod|crio)-[0-9a-f]{63,65}(\.scope)?|lxc\.payload\.\PC{0,9}|machine-(\\x[0-9a-f]{2}|\PC){0,9}\.scope|\PC{0,5}\.service| \(deleted\))){0,5}\n){0,4}"
                .prop_map(String::into_bytes),
        ],
    ) {
        if let Some(found) = parse(&text) {
            let Membership { runtime: _, id, name, pod_uid } = found;
            prop_assert!(id.is_none_or(|id| id.len() == 64));
            prop_assert!(pod_uid.is_none_or(|uid| uid.len() <= 36));
            if let Some(name) = name {
                prop_assert!(name.len() <= 8 * super::super::LONGEST);
                prop_assert!(!name.is_empty() && !name.contains(char::is_control));
            }
        }
    }
}
