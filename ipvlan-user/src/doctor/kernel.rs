//! The kernel, the privileges of the caller and of the agents.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported, is_program_supported},
};
use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::{
    node::Node,
    report::{Check, word},
};
use crate::{
    attach::survey::has_tcx,
    runtime::privilege::NEEDED,
    text::{chain, escaped_path},
};

/// The oldest kernel that is tested.
const OLDEST: (u32, u32) = (6, 1);
/// The loopback, which every netns has.
const LOOPBACK: u32 = 1;

/// What the programs cannot do without, beside helpers of every kernel since 5.10.
const HELPERS: [(&str, BpfHelper); 4] = [
    ("bpf_redirect", BpfHelper::BPF_FUNC_redirect),
    ("bpf_jiffies64", BpfHelper::BPF_FUNC_jiffies64),
    ("bpf_ringbuf_output", BpfHelper::BPF_FUNC_ringbuf_output),
    ("bpf_skb_change_head", BpfHelper::BPF_FUNC_skb_change_head),
];

/// An answer, or why there is none.
type Probe = Result<bool, String>;

/// What was read of the kernel.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    release: String,
    /// The ipvlan driver is loaded, built in, or can be loaded.
    has_ipvlan: bool,
    /// Program types and helpers, each with its name.
    programs: Vec<(&'static str, Probe)>,
    tcx: Probe,
    has_btf: bool,
    /// `net.core.bpf_jit_enable`; none if it is not readable here.
    jit: Option<u8>,
    /// Where agents pin, and whether that is on a BPF file system.
    pins: (PathBuf, Probe),
    /// Capabilities that the caller lacks.
    caller: Vec<String>,
    /// The agents, and the capabilities that each lacks.
    agents: Vec<(u32, Result<Vec<String>, String>)>,
}

/// Reads it.
pub(super) fn read(node: &Node, pin_dir: &Path) -> Kernel {
    let release = nix::sys::utsname::uname().map(|name| name.release().to_os_string());
    let release = release.unwrap_or_default().to_string_lossy().into_owned();
    let missing = |of: Result<CapsHashSet, _>| of.map(|has| lacking(&has));
    let caller = missing(caps::read(None, CapSet::Effective)).unwrap_or_default();
    let may_load = !caller
        .iter()
        .any(|name| name.ends_with("_BPF") || name.ends_with("_ADMIN"));
    let probe = |supported: fn() -> Result<bool, String>| {
        if may_load {
            supported()
        } else {
            Err("CAP_BPF and CAP_NET_ADMIN are missing: run as root".to_owned())
        }
    };
    let mut programs = vec![
        (
            "TC programs",
            probe(|| supports(ProgramType::SchedClassifier)),
        ),
        ("XDP programs", probe(|| supports(ProgramType::Xdp))),
    ];
    programs.extend(HELPERS.map(|(name, helper)| {
        let found = if may_load {
            let found = is_helper_supported(ProgramType::SchedClassifier, helper);
            found.map_err(|error| chain(&error))
        } else {
            probe(|| Ok(true))
        };
        (name, found)
    }));
    Kernel {
        has_ipvlan: has_driver(&release),
        release,
        programs,
        tcx: has_tcx(LOOPBACK).map_err(|error| reason(&error)),
        has_btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        jit: number("/proc/sys/net/core/bpf_jit_enable"),
        pins: (pin_dir.to_owned(), is_on_bpffs(pin_dir)),
        caller,
        agents: node
            .agents
            .iter()
            .map(|agent| {
                let pid = i32::try_from(agent.pid).ok();
                let found = missing(caps::read(pid, CapSet::Effective));
                (agent.pid, found.map_err(|error| error.to_string()))
            })
            .collect(),
    }
}

fn supports(kind: ProgramType) -> Result<bool, String> {
    is_program_supported(kind).map_err(|error| chain(&error))
}

fn lacking(has: &CapsHashSet) -> Vec<String> {
    let lacking = NEEDED.iter().filter(|needed| !has.contains(needed));
    lacking.map(Capability::to_string).collect()
}

fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "CAP_NET_ADMIN is missing: run as root".to_owned(),
        _ => error.to_string(),
    }
}

fn number(path: &str) -> Option<u8> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Returns whether the driver is there, or modprobe would find it.
fn has_driver(release: &str) -> bool {
    let modules = Path::new("/lib/modules").join(release);
    let lists = ["modules.builtin", "modules.dep"].map(|file| modules.join(file));
    Path::new("/sys/module/ipvlan").exists()
        || lists.iter().any(|list| {
            let text = fs::read_to_string(list).unwrap_or_default();
            text.lines().any(|line| line.contains("/ipvlan.ko"))
        })
}

/// Returns whether a directory is on a BPF file system, or would be if it were made.
fn is_on_bpffs(directory: &Path) -> Probe {
    for path in directory.ancestors() {
        match statfs(path) {
            Ok(found) => return Ok(found.filesystem_type() == BPF_FS_MAGIC),
            Err(nix::errno::Errno::ENOENT) => {}
            Err(errno) => {
                return Err(format!("{}: {errno}", escaped_path(path)));
            }
        }
    }
    Ok(false)
}

/// Judges it.
pub(super) fn judge(kernel: &Kernel) -> Vec<Check> {
    let mut checks = vec![
        version(kernel),
        driver(kernel),
        programs(kernel),
        hooks(kernel),
    ];
    checks.push(Check::ok(
        "kernel.btf",
        "",
        if kernel.has_btf {
            "/sys/kernel/btf/vmlinux"
        } else {
            "none: the programs load without it"
        },
    ));
    checks.extend([jit(kernel), bpffs(kernel), caller(kernel)]);
    checks.extend(kernel.agents.iter().map(|(pid, lacking)| {
        let subject = format!("agent {pid}");
        match lacking {
            Ok(lacking) if lacking.is_empty() => {
                Check::ok("agent.capabilities", &subject, "has the four that it needs")
            }
            Ok(lacking) => Check::fail(
                "agent.capabilities",
                &subject,
                format!("lacks {}", lacking.join(", ")),
                "it cannot follow changes of children or send announcements (docs/privileges.md)",
            )
            .mend("systemctl restart ipvlan"),
            Err(error) => Check::skip("agent.capabilities", &subject, error),
        }
    }));
    checks
}

fn version(kernel: &Kernel) -> Check {
    let release = format!("Linux {}", kernel.release);
    let mut numbers = kernel
        .release
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse().unwrap_or_default());
    let version: (u32, u32) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    if version >= OLDEST {
        return Check::ok("kernel.version", "", release);
    }
    let (major, minor) = OLDEST;
    Check::fail(
        "kernel.version",
        "",
        release,
        format!("the programs are tested from Linux {major}.{minor} on and may not load"),
    )
}

fn driver(kernel: &Kernel) -> Check {
    if kernel.has_ipvlan {
        return Check::ok("kernel.ipvlan", "", "the ipvlan driver is available");
    }
    Check::warn(
        "kernel.ipvlan",
        "",
        "no ipvlan driver is loaded or installed for this kernel",
        "no child can be created",
    )
    .mend("modprobe ipvlan")
}

fn programs(kernel: &Kernel) -> Check {
    let id = "kernel.programs";
    let lacking: Vec<&str> = kernel
        .programs
        .iter()
        .filter(|(_, found)| *found == Ok(false))
        .map(|(name, _)| *name)
        .collect();
    if !lacking.is_empty() {
        return Check::fail(
            id,
            "",
            format!("the kernel has no {}", lacking.join(", ")),
            "the programs do not load: no child is answered, and none is reached from the host",
        );
    }
    let mut unknown = kernel.programs.iter();
    let unknown = unknown.find_map(|(_, found)| found.as_ref().err());
    if let Some(error) = unknown {
        return Check::skip(id, "", error);
    }
    let names: Vec<&str> = kernel.programs.iter().map(|(name, _)| *name).collect();
    Check::ok(id, "", names.join(", "))
}

fn hooks(kernel: &Kernel) -> Check {
    match &kernel.tcx {
        Ok(true) => Check::ok("kernel.tcx", "", "TCX hooks"),
        Ok(false) => Check::ok("kernel.tcx", "", "no TCX hooks: the agent uses clsact"),
        Err(error) => Check::skip("kernel.tcx", "", error),
    }
}

fn jit(kernel: &Kernel) -> Check {
    match kernel.jit {
        Some(0) => Check::warn(
            "kernel.jit",
            "",
            "net.core.bpf_jit_enable = 0",
            "the kernel interprets the programs: every frame costs several times as much",
        )
        .mend("sysctl -w net.core.bpf_jit_enable=1"),
        Some(value) => Check::ok(
            "kernel.jit",
            "",
            format!("net.core.bpf_jit_enable = {value}"),
        ),
        None => Check::skip(
            "kernel.jit",
            "",
            "net.core.bpf_jit_enable is readable for root in the first network namespace only",
        ),
    }
}

fn bpffs(kernel: &Kernel) -> Check {
    let (directory, found) = &kernel.pins;
    let shown = escaped_path(directory).to_string();
    match found {
        Ok(true) => Check::ok(
            "kernel.bpffs",
            "",
            format!("{shown} is on a BPF file system"),
        ),
        Ok(false) => {
            let mount = directory.parent().unwrap_or(directory);
            let mount = escaped_path(mount).to_string();
            Check::warn(
                "kernel.bpffs",
                "",
                format!("{shown} is not on a BPF file system"),
                "nothing is pinned: children are not answered while no agent runs",
            )
            .mend(format!("mount -t bpf bpf {}", word(&mount)))
        }
        Err(error) => Check::skip("kernel.bpffs", "", error),
    }
}

fn caller(kernel: &Kernel) -> Check {
    if kernel.caller.is_empty() {
        return Check::ok("caller.capabilities", "", "every check can be made");
    }
    let lacking = kernel.caller.join(", ");
    let found = format!("{lacking} missing: some checks are skipped; run as root for all of them");
    Check::skip("caller.capabilities", "", found)
}

#[cfg(test)]
mod tests;
