//! A fresh netns per test, more of them on demand, and the commands that fill them.
//!
//! On kernels without ipvlan macvlan links are the children: to netlink they differ only in their
//! kind, mode and flag. Nothing here touches a netns that it did not make.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    future::Future,
    io::{BufRead as _, BufReader, Write as _},
    net::IpAddr,
    panic,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use ipvlan_user::{
    discover::{Discover, Scope, Wake, Watch},
    facts::{Gateway, Mode, Snapshot},
};
use nix::{sched::CloneFlags, unistd::Uid};

pub(crate) const PARENT: &str = "parent0";
/// How long we wait for the kernel, which takes netns apart one after the other: those of all tests that run
/// at the same time.
pub(super) const DEADLINE: Duration = Duration::from_mins(1);

/// Runs a test in a thread of its own whose netns (and mounts) are fresh, with [`PARENT`] up in it.
pub(crate) fn in_fresh_netns<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    assert!(
        Uid::effective().is_root(),
        "this test makes network namespaces: run it as root"
    );
    let run = || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .expect("unshare network and mount namespaces (needs CAP_SYS_ADMIN)");
        run("mount", &["--make-rprivate", "/"]);
        ip("link set lo up");
        ip(&format!("link add {PARENT} type veth peer name wire0"));
        ip(&format!("link set {PARENT} up"));
        ip("link set wire0 up");
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime")
            .block_on(test());
    };
    thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            panic::resume_unwind(panic);
        }
    });
}

pub(crate) fn discover() -> Discover {
    Discover::with_child_kinds(&["ipvlan", "macvlan"]).expect("discover")
}

pub(crate) fn everything(discover: &mut Discover) -> Snapshot {
    discover
        .snapshot(Scope::Everything, None)
        .expect("snapshot of everything")
}

pub(crate) fn known(discover: &mut Discover) -> Snapshot {
    discover
        .snapshot(Scope::KnownNetns, None)
        .expect("snapshot of the known netns")
}

pub(crate) fn ifindex(snapshot: &Snapshot, name: &str) -> u32 {
    snapshot
        .link_named(name)
        .unwrap_or_else(|| panic!("no link {name} in {:?}", snapshot.links))
        .ifindex
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("address")
}

/// The gateway of a default route through a link.
pub(crate) fn gateway(text: &str, oif: u32) -> Gateway {
    Gateway {
        address: address(text),
        oif: Some(oif),
    }
}

/// The mode children are seen in: that of ipvlan, or the default for links that have none.
pub(crate) fn child_mode() -> Mode {
    if child_kind().starts_with("ipvlan") {
        Mode::L2
    } else {
        Mode::default()
    }
}

/// What children are made as: ipvlan, if this kernel has it.
pub(crate) fn child_kind() -> &'static str {
    static KIND: OnceLock<&str> = OnceLock::new();
    KIND.get_or_init(|| {
        let kind = "ipvlan mode l2";
        let add = format!("link add probe0 link {PARENT} type {kind}");
        let added = Command::new("ip").args(add.split_whitespace()).output();
        if added.expect("run ip (iproute2)").status.success() {
            ip("link del probe0");
            return kind;
        }
        "macvlan mode bridge"
    })
}

/// Nine children: two in each of four netns, and one in our own.
pub(crate) async fn nine_children(watch: &mut Watch) -> Vec<Unnamed> {
    let lab: Vec<_> = (0..4).map(|_| Unnamed::new()).collect();
    for netns in &lab {
        netns.create_child("child0");
        netns.create_child("child1");
    }
    ip(&format!(
        "link add child0 link {PARENT} type {}",
        child_kind()
    ));
    settle(watch).await;
    lab
}

/// Names of the children, without the order.
pub(crate) fn child_names(snapshot: &Snapshot) -> BTreeSet<&str> {
    snapshot
        .children
        .iter()
        .map(|child| child.name.as_str())
        .collect()
}

/// Wakes until one says what is waited for.
pub(crate) async fn wake_until(watch: &mut Watch, what: &str, wanted: impl Fn(&Wake) -> bool) {
    let mut seen = Wake::default();
    let wait = async {
        while !wanted(&seen) {
            seen.add(watch.wake().await.expect("wake"));
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, wait).await.is_ok();
    assert!(
        in_time,
        "no wake for {what} within {DEADLINE:?}; seen {seen:?}"
    );
}

/// Takes a snapshot of everything per wake until one shows what is waited for.
pub(crate) async fn snapshot_until(
    watch: &mut Watch,
    discover: &mut Discover,
    what: &str,
    wanted: impl Fn(&Snapshot) -> bool,
) -> Snapshot {
    let end = Instant::now() + DEADLINE;
    loop {
        let snapshot = everything(discover);
        if wanted(&snapshot) {
            return snapshot;
        }
        let left = end.saturating_duration_since(Instant::now());
        let Ok(wake) = tokio::time::timeout(left, watch.wake()).await else {
            panic!(
                "{what} not seen within {DEADLINE:?}; children {:?}, netns {:?}",
                snapshot.children, snapshot.netnses
            );
        };
        wake.expect("wake");
    }
}

/// Reads the events of the test's own preparations.
pub(crate) async fn settle(watch: &mut Watch) {
    while tokio::time::timeout(Duration::from_millis(200), watch.wake())
        .await
        .is_ok()
    {}
}

/// A netns that only a process holds; it has no name. Gone when dropped.
pub(crate) struct Unnamed(Child);

impl Unnamed {
    pub(crate) fn new() -> Self {
        let mut process = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec sleep 600"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run unshare (util-linux)");
        let stdout = process.stdout.take().expect("stdout");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("read");
        assert_eq!(line, "ready\n", "unshare --net failed");
        Self(process)
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("pid")
    }

    /// Sets a sysctl inside.
    pub(crate) fn set(&self, name: &str, value: u32) {
        let pid = self.pid().to_string();
        let command = format!("echo {value} > /proc/sys/{name}");
        run(
            "nsenter",
            &["--target", &pid, "--net", "sh", "-ec", &command],
        );
    }

    /// `ip` inside.
    pub(crate) fn ip(&self, command: &str) {
        let pid = self.pid().to_string();
        let mut arguments = vec!["--target", &pid, "--net", "ip"];
        arguments.extend(command.split_whitespace());
        run("nsenter", &arguments);
    }

    /// The same where it may well fail.
    pub(crate) fn try_ip(&self, command: &str) {
        let words: Vec<_> = command.split_whitespace().map(OsString::from).collect();
        self.try_ip_with(&words);
    }

    /// The same with arguments that are bytes.
    pub(crate) fn try_ip_with(&self, arguments: &[OsString]) {
        let mut nsenter = self.nsenter();
        nsenter.args(arguments);
        nsenter.output().expect("run nsenter (util-linux)");
    }

    /// `ip -batch` inside, where any command may well fail.
    pub(crate) fn try_ip_batch(&self, commands: impl IntoIterator<Item = String>) {
        let mut batch = self.nsenter();
        batch.args(["-force", "-batch", "-"]);
        batch.stdin(Stdio::piped()).stderr(Stdio::null());
        let mut process = batch.spawn().expect("run nsenter (util-linux)");
        let mut stdin = process.stdin.take().expect("stdin");
        for command in commands {
            writeln!(stdin, "{command}").expect("write");
        }
        drop(stdin);
        process.wait().expect("wait");
    }

    fn nsenter(&self) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.pid().to_string(), "--net", "ip"]);
        nsenter
    }

    /// Creates a child of [`PARENT`] directly inside, where it may be there already.
    pub(crate) fn try_create_child(&self, name: &str) {
        let (pid, kind) = (self.pid(), child_kind());
        try_ip(&format!(
            "link add {name} link {PARENT} netns {pid} type {kind}"
        ));
    }

    /// Creates a child of [`PARENT`] directly inside.
    pub(crate) fn create_child(&self, name: &str) {
        let pid = self.pid();
        let kind = child_kind();
        ip(&format!(
            "link add {name} link {PARENT} netns {pid} type {kind}"
        ));
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        self.0.kill().expect("kill");
        self.0.wait().expect("wait");
    }
}

/// `ip` in the netns of this thread.
pub(crate) fn ip(command: &str) {
    run("ip", &command.split_whitespace().collect::<Vec<_>>());
}

/// The same where it may well fail.
pub(crate) fn try_ip(command: &str) {
    let mut ip = Command::new("ip");
    ip.args(command.split_whitespace());
    ip.output().expect("run ip (iproute2)");
}

/// `ip -batch` in the netns of this thread, or in that of a process.
pub(crate) fn ip_batch(netns: Option<&Unnamed>, commands: impl IntoIterator<Item = String>) {
    let mut command = match netns {
        None => Command::new("ip"),
        Some(netns) => {
            let mut command = Command::new("nsenter");
            command.args(["--target", &netns.pid().to_string(), "--net", "ip"]);
            command
        }
    };
    let mut process = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("run ip (iproute2)");
    let mut stdin = process.stdin.take().expect("stdin");
    for command in commands {
        writeln!(stdin, "{command}").expect("write");
    }
    drop(stdin);
    assert!(process.wait().expect("wait").success(), "ip -batch failed");
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("run {program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}
