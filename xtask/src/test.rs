//! `cargo xtask test`: everything that must pass before a commit, or a part of it.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::Message;
use clap::ValueEnum;

use crate::{
    bench, build, demo, exec,
    instrument::{self, Instrument},
    lint,
    side_by_side::{self, Job},
    stopwatch, suites,
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
    /// The connectivity table, the kernel as oracle, every fault, every attack, every real node and every network card
    /// once, six generated nodes without and with the agent, and the limits of `cargo xtask bench` and growth since its
    /// baseline, in virtual machines
    Vm,
    /// The long form of the faults, in virtual machines; takes long, so only when asked for
    Faults,
    /// The long form of the attacks, in virtual machines: a million frames of the generator; takes long, so
    /// only when asked for
    Attacks,
}

/// Runs the part, or everything.
pub(crate) fn test(args: &Args) -> Result<()> {
    let done = match args.part {
        Some(part) => time(part),
        None => stopwatch::time("everything", everything),
    };
    // A run that failed has been long, too.
    stopwatch::print();
    done
}

fn everything() -> Result<()> {
    // What fails here fails before anything is built.
    lint::sources()?;
    // Both have stretches in which one processor waits for the other; cargo keeps their profiles apart.
    beside(
        || {
            stopwatch::time("lint", lint::compiled)?;
            time(Part::Unit)
        },
        || prepare().and_then(|()| prepare_native()),
    )?;
    // Tests on this host wait most of the time, and machines are not in a hurry.
    beside(
        || [Part::Prog, Part::Netns].into_iter().try_for_each(time),
        || stopwatch::time("machines", machines),
    )
}

/// Does both, beside each other if there are processors; fails with what failed of them.
fn beside(
    first: impl FnOnce() -> Result<()> + Send,
    second: impl FnOnce() -> Result<()> + Send,
) -> Result<()> {
    let done = side_by_side::run(vec![Box::new(first), Box::new(second)]);
    let failures = done.into_iter().filter_map(Result::err);
    let failures: Vec<_> = failures.map(|error| format!("{error:#}")).collect();
    exec::fail_for("not as it must be:", &failures)
}

fn time(part: Part) -> Result<()> {
    let name = part
        .to_possible_value()
        .map(|name| name.get_name().to_owned());
    stopwatch::time(name.unwrap_or_default(), || run(part))
}

fn run(part: Part) -> Result<()> {
    match part {
        Part::Unit => unit(),
        Part::Prog => {
            as_root("prog", &[]).and_then(|()| bench::run_programs(exec::run_tests, true, None))
        }
        Part::Netns => {
            clients::install(&clients::NETNS)?;
            as_root("netns", &[])
        }
        Part::Vm => prepare().and_then(|()| machines()),
        Part::Faults => suites::LONG_FAULTS.run(&instrument::Args::default()),
        Part::Attacks => suites::LONG_ATTACKS.run(&instrument::Args::default()),
    }
}

fn unit() -> Result<()> {
    clients::install(&clients::UNIT)?;
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--lib", "--bins", "--test", "host*"]);
    exec::run(build::without_object(&mut command))
}

/// Builds as the user, then runs the test binaries whose names begin with `prefix` as root, with these
/// settings in their environment.
pub(crate) fn as_root(prefix: &str, settings: &[(&str, String)]) -> Result<()> {
    as_root_by(exec::run_tests, prefix, settings)
}

/// The same; `run` runs them.
pub(crate) fn as_root_by(
    run: fn(&mut Command) -> Result<()>,
    prefix: &str,
    settings: &[(&str, String)],
) -> Result<()> {
    for test in binaries(prefix)? {
        let mut command = exec::as_root(&test.binary)?;
        command.current_dir(&test.package).arg("--show-output");
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
        let Message::CompilerArtifact(artifact) = message else {
            continue;
        };
        let Some(binary) = artifact.executable else {
            continue;
        };
        if !artifact.target.name.starts_with(prefix) {
            continue;
        }
        let manifest = artifact.manifest_path;
        let package = manifest.parent().context("a test that is in no package")?;
        tests.push(Test {
            package: package.into(),
            name: artifact.target.name,
            binary: binary.into(),
        });
    }
    if tests.is_empty() {
        bail!("no test begins with {prefix}");
    }
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tests)
}

/// What machines run, those first that take longest.
static INSTRUMENTS: [Instrument; 7] = [
    suites::SHORT_FAULTS,
    suites::SHORT_ATTACKS,
    suites::SHORT_NODES,
    suites::SHORT_DIFFERENTIAL,
    suites::NICS,
    suites::ORACLE,
    suites::VERIFIED,
];

/// Builds everything that machines run. No test may run meanwhile: for a moment the agent has another layout of its maps.
fn prepare() -> Result<()> {
    stopwatch::time("release build", || {
        build::release()?;
        INSTRUMENTS
            .iter()
            .try_for_each(|instrument| (instrument.prepare)())
    })
}

/// Builds the test binaries that run beside machines: a compiler would leave an emulator nothing, and its console silent.
fn prepare_native() -> Result<()> {
    stopwatch::time("release build of tests", || binaries("").map(drop))
}

fn machines() -> Result<()> {
    let mut jobs: Vec<Job<'_, Vec<String>>> = bench::everywhere();
    jobs.extend(demo::everywhere());
    jobs.extend(INSTRUMENTS.iter().flat_map(Instrument::everywhere));
    exec::fail_for("in machines:", &side_by_side::run(jobs).concat())
}
