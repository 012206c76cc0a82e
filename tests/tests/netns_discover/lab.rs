//! A host of its own for each test, containers on demand, and the commands that fill them.
//!
//! On kernels without ipvlan macvlan links are the children: to netlink they differ only in their
//! kind, mode and flag. Nothing here touches a netns that it did not make.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt::Display,
    io::Write as _,
    mem,
    net::IpAddr,
    panic,
    process::{Command, Output, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

pub(crate) use ipvlan_tests::topology::PARENT;
use ipvlan_tests::{
    netns::Netns,
    topology::{PATIENCE, Topology},
};
use ipvlan_user::{
    discover::{Changed, Dirty, Discover, Part, Renewed, Scope, Wake, Watch},
    facts::{Mode, NetnsId, Snapshot},
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use tokio::time::timeout;

/// How long we wait for the kernel, which takes netns apart one after the other.
pub(crate) const DEADLINE: Duration = PATIENCE;

/// Discovery and its events, in the netns of the thread that runs a test.
pub(crate) struct Lab {
    pub(crate) discover: Discover,
    pub(crate) watch: Watch,
}

/// Runs a test in a thread of its own, on the host of a new topology. The mounts of the thread are its own.
pub(crate) fn on_host(test: impl AsyncFnOnce(Lab) + Send) {
    let net = Topology::without_addresses();
    let run = || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).unwrap();
        // A test may drop the capability to leave it; its thread ends there.
        mem::forget(net.host.enter().unwrap());
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async { test(Lab::new()).await });
    };
    thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            panic::resume_unwind(panic);
        }
    });
}

impl Lab {
    pub(crate) fn new() -> Self {
        let discover = Discover::with_child_kinds(&["ipvlan", "macvlan"]);
        Self {
            discover: discover.unwrap(),
            watch: Watch::new().unwrap(),
        }
    }

    pub(crate) fn everything(&mut self) -> Snapshot {
        self.discover.snapshot(Scope::Everything, None).unwrap()
    }

    pub(crate) fn known(&mut self) -> Snapshot {
        self.discover.snapshot(Scope::KnownNetns, None).unwrap()
    }

    /// Wakes until what they report is as wanted.
    pub(crate) async fn wakes_for(&mut self, what: &str, wanted: impl Fn(&Wake) -> bool) {
        let mut seen = Wake::default();
        let wait = async {
            while !wanted(&seen) {
                seen.add(self.watch.wake().await.unwrap());
            }
        };
        let in_time = timeout(DEADLINE, wait).await.is_ok();
        assert!(in_time, "no wake for {what} within {DEADLINE:?}: {seen:?}");
    }

    /// Takes a snapshot of everything per wake until one is as wanted.
    pub(crate) async fn shows(
        &mut self,
        what: &str,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Snapshot {
        let end = Instant::now() + DEADLINE;
        loop {
            let snapshot = self.everything();
            if wanted(&snapshot) {
                return snapshot;
            }
            let left = end.saturating_duration_since(Instant::now());
            let wake = timeout(left, self.watch.wake()).await;
            assert!(wake.is_ok(), "no {what} within {DEADLINE:?}: {snapshot:#?}");
            wake.unwrap().unwrap();
        }
    }

    /// Reads the events of the test's own preparations.
    pub(crate) async fn settle(&mut self) {
        let moment = Duration::from_millis(200);
        while timeout(moment, self.watch.wake()).await.is_ok() {}
    }

    /// Nothing wakes within this time.
    pub(crate) async fn sleeps(&mut self, time: Duration) {
        let wake = timeout(time, self.watch.wake()).await;
        assert!(wake.is_err(), "woke for {wake:?}");
    }

    /// What makes `snapshot` dirty until nothing more does.
    pub(crate) async fn dirty(&mut self, snapshot: &Snapshot) -> Dirty {
        let mut dirty = Dirty::default();
        let moment = Duration::from_millis(100);
        while let Ok(wake) = timeout(moment, self.watch.wake()).await {
            dirty.add(self.discover.dirty(snapshot, &wake.unwrap()));
        }
        dirty
    }

    pub(crate) fn renew(&mut self, snapshot: &mut Snapshot, dirty: &Dirty) -> Changed {
        let renewed = self.discover.renew(snapshot, &dirty.parts, None).unwrap();
        assert!(renewed.dirty.is_empty(), "{renewed:?}");
        renewed.changed
    }

    /// Begins a scan of everything.
    pub(crate) fn begin(&mut self, snapshot: &mut Snapshot) -> BTreeMap<NetnsId, Part> {
        self.discover.begin(snapshot, Scope::Everything).unwrap()
    }

    /// Reads on for this time; returns what was read when all is.
    pub(crate) fn chunk(&mut self, snapshot: &mut Snapshot, time: Duration) -> Option<Renewed> {
        self.discover.read_chunk(snapshot, time, None).unwrap()
    }

    /// Creates nine children: two in each of four containers, and one on the host.
    pub(crate) async fn nine_children(&mut self) -> Vec<Container> {
        let containers: Vec<_> = (0..4).map(|_| Container::with_child()).collect();
        for container in &containers {
            container.create_child("child1");
        }
        create_child("child0");
        self.settle().await;
        containers
    }
}

pub(crate) fn ifindex(snapshot: &Snapshot, name: &str) -> u32 {
    let link = snapshot.link_named(name);
    link.unwrap_or_else(|| panic!("no link {name} in {:?}", snapshot.links))
        .ifindex
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
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
        if try_ip(add.split(' ')) {
            ip("link del probe0");
            return kind;
        }
        "macvlan mode bridge"
    })
}

/// Creates a child of [`PARENT`] on the host.
pub(crate) fn create_child(name: &str) {
    let kind = child_kind();
    ip(&format!("link add {name} link {PARENT} type {kind}"));
}

/// The words by which `ip` creates a child of [`PARENT`] in the netns with this name, or of the process with this pid.
pub(crate) fn child_in(name: &str, netns: impl Display) -> String {
    let kind = child_kind();
    format!("link add {name} link {PARENT} netns {netns} type {kind}")
}

/// Names of the children, without the order.
pub(crate) fn child_names(snapshot: &Snapshot) -> BTreeSet<&str> {
    let children = snapshot.children.iter();
    children.map(|child| child.name.as_str()).collect()
}

/// A netns that a process holds; it has no name. Gone when dropped.
pub(crate) struct Container(Netns);

impl Container {
    pub(crate) fn new() -> Self {
        Self(Netns::unnamed("container").unwrap())
    }

    /// Creates one with `child0`.
    pub(crate) fn with_child() -> Self {
        let container = Self::new();
        container.create_child("child0");
        container
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.reference().parse().unwrap()
    }

    /// Its nsid, by its process.
    pub(crate) fn try_id(&self, snapshot: &Snapshot) -> Option<NetnsId> {
        let mut all = snapshot.netnses.iter();
        let found = all.find(|it| it.pids.lowest() == Some(self.pid()));
        found.map(|netns| netns.id)
    }

    pub(crate) fn id(&self, snapshot: &Snapshot) -> NetnsId {
        self.try_id(snapshot).expect("its netns")
    }

    /// Sets a sysctl below `net`.
    pub(crate) fn set(&self, name: &str, value: &str) {
        self.0.sysctl(name, value).unwrap();
    }

    /// `ip` inside.
    pub(crate) fn ip(&self, command: &str) {
        self.0.ip(command).unwrap();
    }

    /// The same where it may well fail.
    pub(crate) fn try_ip(&self, words: impl IntoIterator<Item: AsRef<OsStr>>) {
        self.0.run(|| Ok(try_ip(words))).unwrap();
    }

    /// `ip -batch` inside.
    pub(crate) fn ip_batch(&self, commands: impl IntoIterator<Item = String>) {
        let run = || Ok(batch(&[], commands));
        assert!(self.0.run(run).unwrap(), "ip -batch failed");
    }

    /// The same where any command may well fail.
    pub(crate) fn try_ip_batch(&self, commands: impl IntoIterator<Item = String>) {
        self.0.run(|| Ok(batch(&["-force"], commands))).unwrap();
    }

    /// Creates a child of [`PARENT`] directly inside.
    pub(crate) fn create_child(&self, name: &str) {
        ip(&self.child(name));
    }

    /// The same where it may be there already.
    pub(crate) fn try_create_child(&self, name: &str) {
        try_ip(self.child(name).split(' '));
    }

    /// The words by which `ip` creates it.
    pub(crate) fn child(&self, name: &str) -> String {
        child_in(name, self.pid())
    }
}

/// `ip` in the netns of this thread.
#[track_caller]
pub(crate) fn ip(command: &str) {
    let ended = Command::new("ip").args(command.split(' ')).output();
    let Output { status, stderr, .. } = ended.expect("run ip (iproute2)");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "ip {command}: {stderr}");
}

/// The same where it may well fail; returns whether it succeeded.
pub(crate) fn try_ip(words: impl IntoIterator<Item: AsRef<OsStr>>) -> bool {
    let ended = Command::new("ip").args(words).output();
    ended.expect("run ip (iproute2)").status.success()
}

/// `ip -batch` in the netns of this thread.
#[track_caller]
pub(crate) fn ip_batch(commands: impl IntoIterator<Item = String>) {
    assert!(batch(&[], commands), "ip -batch failed");
}

fn batch(options: &[&str], commands: impl IntoIterator<Item = String>) -> bool {
    let mut ip = Command::new("ip");
    ip.args(options).args(["-batch", "-"]).stdin(Stdio::piped());
    if !options.is_empty() {
        ip.stderr(Stdio::null());
    }
    let mut process = ip.spawn().expect("run ip (iproute2)");
    let mut stdin = process.stdin.take().unwrap();
    for command in commands {
        writeln!(stdin, "{command}").unwrap();
    }
    drop(stdin);
    process.wait().unwrap().success()
}

/// Mounts an empty `/run/netns`. The mounts of this thread are its own: no other directory is touched.
pub(crate) fn private_names() {
    let tmpfs = Some("tmpfs");
    mount(tmpfs, "/run/netns", tmpfs, MsFlags::empty(), None::<&str>).unwrap();
}
