//! `cargo xtask test`: everything that must pass before a commit, or a part of it.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::{
    attacks, bench, build,
    cost::COST,
    demo, exec, faults,
    instrument::{self, Instrument},
    lint, numbers,
    oracle::ORACLE,
    side_by_side::{self, Job},
    tools::clients,
};

/// What to test.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The part; without it all of them, after `cargo xtask lint`
    part: Option<Part>,
}

/// Parts of the tests.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// What runs anywhere: parsers, checksums, guards, model, diff
    Unit,
    /// Packets through the programs on this host's kernel; needs root
    Prog,
    /// Network namespaces on this host's kernel; needs root
    Netns,
    /// The connectivity table, the measurements, the kernel as oracle, the cost of an answer, every fault
    /// and every attack once, and growth since the baseline of `cargo xtask bench`, in virtual machines
    Vm,
    /// The long form of the faults, in virtual machines; takes long, so only when asked for
    Faults,
    /// The long form of the attacks, in virtual machines: a million frames of the generator; takes long, so
    /// only when asked for
    Attacks,
}

/// Runs the part, or everything.
pub(crate) fn test(args: &Args) -> Result<()> {
    if let Some(part) = args.part {
        return run(part);
    }
    lint::lint()?;
    for part in [Part::Unit, Part::Prog, Part::Netns, Part::Vm] {
        run(part)?;
    }
    Ok(())
}

fn run(part: Part) -> Result<()> {
    match part {
        Part::Unit => unit(),
        Part::Prog => as_root("prog", &[]),
        Part::Netns => as_root("netns", &[]),
        Part::Vm => machines(),
        Part::Faults => faults::LONG.run(&instrument::Args::default()),
        Part::Attacks => attacks::LONG.run(&instrument::Args::default()),
    }
}

fn unit() -> Result<()> {
    clients::install_unit()?;
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--lib", "--bins", "--test", "host*"]);
    exec::run(build::without_object(&mut command))
}

/// Builds as the user, then runs the test binaries whose names begin with `prefix` as root, with these
/// settings in their environment.
pub(crate) fn as_root(prefix: &str, settings: &[(&str, String)]) -> Result<()> {
    as_root_by(exec::run, prefix, settings)
}

/// The same; `run` runs them.
pub(crate) fn as_root_by(
    run: fn(&mut Command) -> Result<()>,
    prefix: &str,
    settings: &[(&str, String)],
) -> Result<()> {
    for test in binaries(prefix)? {
        let mut command = exec::as_root(&test.binary)?;
        command.current_dir(&test.package).arg("--nocapture");
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        run(&mut command)?;
    }
    Ok(())
}

struct Test {
    name: String,
    binary: PathBuf,
    package: PathBuf,
}

fn binaries(prefix: &str) -> Result<Vec<Test>> {
    let mut command = Command::new("cargo");
    command
        .args([
            "test",
            "--release",
            "--no-run",
            "-p",
            "ipvlan-tests",
            "-p",
            "ipvlan-user",
        ])
        .args(["--test", "prog*", "--test", "netns*", "--test", "bench*"]);
    let mut tests = Vec::new();
    for message in build::messages(&mut command)? {
        let (Some(binary), Some(target)) = (message.executable, message.target) else {
            continue;
        };
        if !target.name.starts_with(prefix) {
            continue;
        }
        let manifest = message.manifest_path.unwrap_or_default();
        let package = manifest.parent().context("a test that is in no package")?;
        tests.push(Test {
            package: package.to_owned(),
            name: target.name,
            binary,
        });
    }
    if tests.is_empty() {
        bail!("no test begins with {prefix}");
    }
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tests)
}

fn machines() -> Result<()> {
    static INSTRUMENTS: [Instrument; 5] =
        [faults::SHORT, attacks::SHORT, numbers::SHORT, ORACLE, COST];
    build::release()?;
    for instrument in &INSTRUMENTS {
        (instrument.prepare)()?;
    }
    // Those that take longest begin.
    let mut jobs: Vec<Job<'_, Vec<String>>> = vec![Box::new(bench::growth)];
    jobs.extend(INSTRUMENTS.iter().flat_map(Instrument::everywhere));
    jobs.extend(demo::everywhere());
    fail_for(&side_by_side::run(jobs).concat())
}

fn fail_for(failures: &[String]) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}", failures.join("\n"))
}
