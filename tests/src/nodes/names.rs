//! Names of containers, by processes in control groups as runtimes make them.

use std::{
    ffi::OsStr,
    io::Write as _,
    os::unix::ffi::OsStrExt as _,
    process::{Child, Stdio},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::{Signal, kill},
    unistd::{Pid, chown},
};
use serde_json::Value;

use crate::{netns::NOBODY, rows::prelude::*};

pub(super) const ROWS: &[Row] = &[Row::new(
    "NAMES",
    Kind::Gap,
    "containers of Docker and podman, a label, a container named ESC[31m; the agent has four capabilities and is nobody",
    "`status` shows docker and the short id, podman and the name, the label with the file of its netns; no control character",
    Run::Each(L3, shown),
)
.on_any_kernel()];

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// What `status` shows of it.
const SHORT_ID: &str = "0123456789ab";
const CGROUPS: &str = "/run/lab-cgroups";
const MONITOR: &str = "/run/lab-conmon";
const PAYLOAD: &str = "/run/lab-conmon-payload";
const NEEDED: &str = ",+bpf,+net_admin,+net_broadcast,+net_raw";

fn shown(scene: &mut Scene) -> Result<()> {
    let cgroups = Cgroups::mount()?;
    let docker: i32 = scene.unnamed.reference().parse()?;
    let podman = Monitored::start(&scene.third.reference())?;
    let monitor = i32::try_from(podman.monitor.id())?;
    let docker_scope = format!("system.slice/docker-{ID}.scope");
    cgroups.add(docker_scope.as_bytes(), docker)?;
    let scope = |prefix: &str| format!("machine.slice/libpod-{prefix}{ID}.scope");
    cgroups.add(scope("").as_bytes(), podman.payload)?;
    cgroups.add(scope("conmon-").as_bytes(), monitor)?;
    let steady = scene.steady.reference();
    let alias = ["link", "set", CHILD, "alias", "docker \u{1b}[31m"];
    scene.steady.command(Command::new("ip").args(alias), "")?;
    start_as_nobody(scene)?;

    let named = |name: &str, pid: i32| format!("{name} (pid {pid})");
    scene.expect_child(&named(&format!("docker {SHORT_ID}"), docker))?;
    scene.expect_child(&named("podman db", podman.payload))?;
    scene.expect_child(&format!(r"label docker \u{{1b}}[31m, {steady}"))?;
    let status = scene.agent()?.status()?;
    let field = |pid: i32, field: &str| {
        let children = status["parents"][0]["children"].as_array();
        let mut children = children.into_iter().flatten();
        let child = children.find(|child| child["netns"]["pid"] == pid);
        child.map_or(Value::Null, |child| {
            child["netns"]["container"][field].clone()
        })
    };
    for (pid, key, value) in [
        (docker, "runtime", "docker"),
        (docker, "id", ID),
        (podman.payload, "runtime", "podman"),
        (podman.payload, "id", ID),
        (podman.payload, "name", "db"),
    ] {
        scene.expect(field(pid, key) == value, || {
            format!("{key} of {pid}: {}, not {value}", field(pid, key))
        });
    }

    // A name is kept as long as its process lives, and for a while.
    cgroups.add(b"lxc.payload.a\x1b[31m\xff", docker)?;
    let name = format!(r"lxc a\u{{1b}}[31m\xff (pid {docker})");
    wait_for("the container has another name", || {
        Ok(scene.status_text()?.contains(&name))
    })?;
    let texts = [
        ("`status`", scene.status_text()?),
        ("`status --json`", scene.agent()?.status()?.to_string()),
        ("the log", scene.agent()?.said()),
    ];
    for (place, text) in texts {
        let is_odd = |c: &char| c.is_control() && *c != '\n';
        scene.expect_none(place, text.chars().filter(is_odd));
    }

    let mut agent = scene.take_agent()?;
    agent.signal(Signal::SIGTERM)?;
    let code = agent.wait(PATIENCE)?.code();
    scene.expect_eq("exit code", code, Some(0));
    // It may not remove it from a directory of root's.
    let _removed = fs::remove_dir_all(runtime_dir(PARENT));
    Ok(())
}

impl Scene {
    /// Requires that the netns of a child is shown like this.
    fn expect_child(&self, netns: &str) -> Result<()> {
        let text = self.status_text()?;
        self.expect_has("`status`", &text, &format!("{CHILD}  {netns} "));
        Ok(())
    }
}

/// Starts the agent with the capabilities that it needs, as a user who owns nothing.
fn start_as_nobody(scene: &mut Scene) -> Result<()> {
    let runtime = runtime_dir(PARENT);
    fs::create_dir_all(&runtime)?;
    chown(&runtime, Some(NOBODY.into()), Some(NOBODY.into()))?;
    let agent = scene.command(&["--no-pin"]);
    let mut command = Command::new("setpriv");
    command.args(
        ["bounding-set", "inh-caps", "ambient-caps"].map(|of| format!("--{of}=-all{NEEDED}")),
    );
    command.args(["--reuid", &NOBODY.to_string(), "--clear-groups"]);
    command.arg(agent.get_program()).args(agent.get_args());
    scene.start_command(command)
}

/// The control groups of this machine.
struct Cgroups;

impl Cgroups {
    fn mount() -> Result<Self> {
        fs::create_dir_all(CGROUPS)?;
        let (kind, none) = (Some("cgroup2"), None::<&str>);
        mount(kind, CGROUPS, kind, MsFlags::empty(), none).context("cannot mount cgroup2")?;
        Ok(Self)
    }

    /// Moves a process to the control group of this path, which is made.
    fn add(&self, path: &[u8], pid: i32) -> Result<()> {
        let Self = self;
        let group = Path::new(CGROUPS).join(OsStr::from_bytes(path));
        fs::create_dir_all(&group)?;
        let moved = fs::write(group.join("cgroup.procs"), pid.to_string());
        moved.with_context(|| format!("cannot move {pid} to {}", group.display()))
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // The groups go with this machine: their processes end later.
        let _busy = umount2(CGROUPS, MntFlags::MNT_DETACH);
    }
}

/// A process in a netns, below one with the arguments of podman's monitor.
struct Monitored {
    monitor: Child,
    payload: i32,
}

impl Monitored {
    fn start(netns: &str) -> Result<Self> {
        let _absent = fs::remove_file(PAYLOAD);
        let mut script = fs::File::create(MONITOR)?;
        writeln!(script, "ip netns exec {netns} busybox sleep 1000 &")?;
        writeln!(script, "echo $! > {PAYLOAD}.new")?;
        writeln!(script, "busybox mv {PAYLOAD}.new {PAYLOAD}\nwait")?;
        drop(script);
        let mut command = Command::new("busybox");
        command.args(["sh", MONITOR, "-c", ID, "-u", ID, "-n", "db"]);
        let monitor = command.stdin(Stdio::null()).spawn()?;
        let mut started = Self {
            monitor,
            payload: 0,
        };
        wait_for("a process in the netns", || Ok(fs::exists(PAYLOAD)?))?;
        started.payload = fs::read_to_string(PAYLOAD)?.trim().parse()?;
        Ok(started)
    }
}

impl Drop for Monitored {
    fn drop(&mut self) {
        if self.payload > 0 {
            let _gone = kill(Pid::from_raw(self.payload), Signal::SIGKILL);
        }
        let _gone = self.monitor.kill();
        let _reaped = self.monitor.wait();
    }
}
