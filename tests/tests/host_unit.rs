//! The files for systemd: understood by it, hardened, and of one mind with the agent.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests panic, and so do their parts outside of `#[test]` functions"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use ipvlan_user::runtime::privilege;

/// Most that `systemd-analyze security` may find exposed, in tenths.
const EXPOSURE: u32 = 25;

fn systemd(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ipvlan-user/systemd");
    fs::read_to_string(path.join(name)).unwrap()
}

fn unit() -> String {
    systemd("ipvlan.service")
}

/// All values of a setting, in their order.
fn values(key: &str) -> Vec<String> {
    unit()
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .map(str::to_owned)
        .collect()
}

/// The unit with these changes, in a directory of its own.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str, from: &str, to: &str) -> Self {
        let directory = format!("ipvlan-unit-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        fs::create_dir_all(&directory).unwrap();
        let text = unit();
        assert!(text.contains(from), "{from}");
        fs::write(directory.join("ipvlan.service"), text.replace(from, to)).unwrap();
        Self(directory)
    }

    fn analyze(&self, words: &[&str]) -> Output {
        Command::new("systemd-analyze")
            .args(words)
            .arg(self.0.join("ipvlan.service"))
            .output()
            .expect("systemd-analyze is not there: `cargo xtask setup` installs it")
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _absent = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn systemd_understands_the_unit() {
    // It insists on a program that is there.
    let installed = Copy::new("good", "/usr/bin/ipvlan run", "/bin/true run");
    let found = installed.analyze(&["verify", "--man=no"]);
    let said = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(found.status.success(), "{said}");
    assert!(!said.contains("ipvlan.service"), "{said}");

    // And would say so if it did not.
    let misspelt = Copy::new("bad", "WatchdogSec=", "WatchdogSecs=");
    let found = misspelt.analyze(&["verify", "--man=no"]);
    let said = String::from_utf8_lossy(&found.stderr);
    assert!(said.contains("'WatchdogSecs'"), "{said}");
}

#[test]
fn little_is_exposed() {
    let threshold = format!("--threshold={EXPOSURE}");
    let words = ["security", "--offline=true", &threshold];
    let hardened = Copy::new("hard", "ProtectSystem=strict", "ProtectSystem=strict");
    let found = hardened.analyze(&words);
    let said = String::from_utf8_lossy(&found.stdout);
    let overall = said.lines().last().unwrap_or_default();
    println!("{overall}");
    assert!(found.status.success(), "{said}");
    assert!(overall.contains("Overall exposure level"), "{said}");

    let open = Copy::new("open", "SystemCallFilter=", "X-SystemCallFilter=");
    assert!(!open.analyze(&words).status.success());
}

#[test]
fn unit_grants_exactly_what_the_agent_needs() {
    let needed: Vec<String> = privilege::NEEDED.iter().map(ToString::to_string).collect();
    for key in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        assert_eq!(values(key), [needed.join(" ")], "{key}");
    }
    // Usage, another agent, a missing privilege: the exit codes that the README names.
    assert_eq!(values("RestartPreventExitStatus"), ["2 75 77"]);
    assert_eq!(values("Type"), ["notify"]);
    assert_eq!(values("ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    for settings in [
        "PrivateNetwork",
        "PrivateUsers",
        "ProtectProc",
        "ProcSubset",
    ] {
        assert_eq!(values(settings), [""; 0], "no netns would be found");
    }
}

#[test]
fn user_and_directories_of_the_unit_are_made() {
    let users = systemd("sysusers.d/ipvlan.conf");
    let user = values("User").remove(0);
    assert!(
        users
            .lines()
            .any(|line| line.split_whitespace().take(2).eq(["u", user.as_str()])),
        "{users}"
    );
    let made = systemd("tmpfiles.d/ipvlan.conf");
    let file = Path::new(ipvlan_user::config::DEFAULT_FILE);
    for directory in [file.parent().unwrap(), &file.with_file_name("config.d")] {
        let directory = directory.to_str().unwrap();
        let is_made = |line: &str| line.split_whitespace().take(2).eq(["d", directory]);
        assert!(made.lines().any(is_made), "{directory}: {made}");
    }
    let runtime = Path::new("/run").join(values("RuntimeDirectory").remove(0));
    assert_eq!(runtime, Path::new(ipvlan_user::runtime::RUNTIME_DIR));
    let pins = ipvlan_user::pins::PIN_DIR;
    // The service sees it elsewhere.
    let inside = "/run/ipvlan/pins";
    assert_eq!(values("BindPaths"), [format!("-{pins}:{inside}")]);
    assert_eq!(
        values("ExecStart"),
        [format!("/usr/bin/ipvlan run --pin-dir {inside}")]
    );
    assert!(
        values("ExecStartPre")
            .remove(0)
            .ends_with(&format!(" {pins}"))
    );
}
