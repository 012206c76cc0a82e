//! What the tests of the running agent share: a host with a parent, a LAN behind it, the agent.
//!
//! Every test has netns and runtime directories of its own, removed however it ends.

pub(crate) mod foreign;
pub(crate) mod pins;
pub(crate) mod world;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use ipvlan_tests::{agent, command};

pub(crate) use self::world::{Dir, World};

/// How soon the agent follows a change.
pub(crate) const SOON: Duration = Duration::from_secs(1);
/// How soon it is attached to a parent that has come: without `CAP_PERFMON` the verifier alone takes 300 to
/// 400 ms of a CPU, which other tests want as well.
pub(crate) const ATTACHED: Duration = Duration::from_secs(3);
/// For what is not promised to be fast: the kernel takes netns apart one after the other, those of all tests
/// that run at the same time.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The agent that was built beside these tests.
pub(crate) fn ipvlan() -> PathBuf {
    let path = std::env::var_os("IPVLAN_BIN").map_or_else(beside_the_tests, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no agent at {}: build it (`cargo build --release -p ipvlan-user`) or name it \
         in IPVLAN_BIN",
        path.display()
    );
    path
}

/// Tests are in `target/PROFILE/deps`, programs in `target/PROFILE`.
fn beside_the_tests() -> PathBuf {
    let test = std::env::current_exe().expect("this test has no path");
    test.ancestors()
        .nth(2)
        .unwrap_or(Path::new("/"))
        .join("ipvlan")
}

/// Waits until `is_so`; `seen` says what there was instead.
#[track_caller]
pub(crate) fn wait_until<T: std::fmt::Debug>(
    patience: Duration,
    what: &str,
    mut seen: impl FnMut() -> T,
    is_so: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        let now = seen();
        if is_so(&now) {
            return now;
        }
        assert!(
            Instant::now() < deadline,
            "not so within {patience:?}: {what}; seen: {now:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// How a command that ends by itself ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Runs `command` in `world`'s host; it must end within [`PATIENCE`].
    pub(crate) fn of(mut command: Command, world: &World) -> Self {
        let shown = format!("{command:?}");
        let mut child = world
            .host
            .run(|| {
                Ok(command
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()?)
            })
            .unwrap_or_else(|error| panic!("cannot start {shown}: {error:#}"));
        // Neither says more than fits into a pipe.
        let in_time = command::wait(&mut child, PATIENCE).unwrap().is_some();
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        let ended = Self {
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        };
        assert!(
            in_time,
            "{shown} did not end within {PATIENCE:?}: {ended:?}"
        );
        ended
    }

    /// `ipvlan run` that is expected to fail.
    pub(crate) fn run(world: &World, dir: &Dir, parents: &[&str], options: &[&str]) -> Self {
        let mut command = agent::run(&ipvlan(), dir.path(), parents);
        command.args(options);
        Self::of(command, world)
    }

    /// `ipvlan status`.
    pub(crate) fn status(world: &World, dir: &Path, options: &[&str]) -> Self {
        let mut command = Command::new(ipvlan());
        command.arg("status").arg("--runtime-dir").arg(dir);
        // What is pinned on this machine is none of the tests' business.
        command.arg("--pin-dir").arg(dir.join("no-pins"));
        command.args(options);
        Self::of(command, world)
    }
}
