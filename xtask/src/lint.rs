//! `cargo xtask lint`: what can be said about the code without running it.

mod lengths;
mod rooms;
mod words;

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{
    build, exec, paths,
    tools::{
        deny,
        toolchain::{self, Toolchain},
    },
};

/// What fails the check for the BPF target. The compiler there is whichever nightly a machine has:
/// the lints of the day are shown, these are enforced. The stable compiler enforces everything, but
/// does not see the code that only exists on that target.
const BPF_DENIED: [&str; 6] = [
    "unused",
    "clippy::correctness",
    "clippy::suspicious",
    "clippy::undocumented_unsafe_blocks",
    "clippy::unwrap_used",
    "clippy::expect_used",
];

/// Runs every check, the fast ones first.
pub(crate) fn lint() -> Result<()> {
    sources()?;
    compiled()
}

/// Checks what needs no compiler: a few seconds.
pub(crate) fn sources() -> Result<()> {
    let mut format = Command::new("cargo");
    format.args(["fmt", "--all", "--check"]);
    exec::run(format.current_dir(paths::workspace())).context("`cargo fmt` mends this")?;

    lengths::check()?;
    words::check()?;
    rooms::check()
}

/// Checks what a compiler says, and the dependencies.
pub(crate) fn compiled() -> Result<()> {
    fuzz_targets()?;
    let mut clippy = Command::new("cargo");
    clippy.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    exec::run(build::without_object(&mut clippy))?;

    let mut documentation = Command::new("cargo");
    documentation
        .args([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ])
        .env("RUSTDOCFLAGS", "-D warnings");
    exec::run(build::without_object(&mut documentation))?;

    bpf_target(&toolchain::find()?)?;
    dependencies()
}

/// The crate of the fuzzers is not in the workspace. Without libFuzzer itself, which takes a C++
/// compiler a minute.
fn fuzz_targets() -> Result<()> {
    let crate_directory = paths::workspace().join("tests/fuzz");
    let mut format = Command::new("cargo");
    format.args(["fmt", "--check"]);
    exec::run(format.current_dir(&crate_directory)).context("`cargo fmt` there mends this")?;
    let mut clippy = Command::new("cargo");
    build::without_object(&mut clippy)
        .current_dir(&crate_directory)
        .args(["clippy", "--locked", "--no-default-features"])
        .arg("--target-dir")
        .arg(paths::target())
        .args(["--", "-D", "warnings"]);
    exec::run(&mut clippy)
}

/// Clippy for the target that the object is built for.
fn bpf_target(toolchain: &Toolchain) -> Result<()> {
    let mut command = toolchain.command("cargo");
    command.args(["clippy", "--version"]);
    if !exec::succeeds(&mut command) {
        exec::say(format!(
            "clippy for the BPF target not run: the toolchain {} has none",
            toolchain.name
        ));
        return Ok(());
    }
    let mut command = toolchain.command("cargo");
    command
        .current_dir(paths::workspace())
        .env("RUSTFLAGS", "--cfg=bpf_target_arch=\"x86_64\"")
        .args(["clippy", "--release", "-p", "ipvlan-ebpf", "--bins"])
        .args(["-Zbuild-std=core", "--target", "bpfel-unknown-none"])
        .arg("--target-dir")
        .arg(paths::target().join("bpf-clippy"))
        .arg("--");
    for lint in BPF_DENIED {
        command.args(["-D", lint]);
    }
    exec::run(&mut command)
}

/// Licences, sources, bans, and known vulnerabilities if the list of those can be fetched.
fn dependencies() -> Result<()> {
    deny::install()?;
    let advisories = fetch_advisories();
    let mut check = deny();
    check.args(["check", "bans", "licenses", "sources"]);
    match advisories {
        Ok(()) => {
            check.arg("advisories");
        }
        Err(reason) => exec::say(format!(
            "advisories NOT checked, their database cannot be fetched: {reason}"
        )),
    }
    exec::run(&mut check)
}

fn fetch_advisories() -> Result<(), String> {
    let fetched = exec::output(deny().args(["fetch", "db"])).map(drop);
    fetched.map_err(|error| {
        let text = format!("{error:#}");
        let cause = text.lines().rfind(|line| !line.trim().is_empty());
        cause.unwrap_or_default().trim().to_owned()
    })
}

fn deny() -> Command {
    let mut command = Command::new(deny::binary());
    command.current_dir(paths::workspace());
    command
}
