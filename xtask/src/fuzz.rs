//! `cargo xtask fuzz`: frames that nobody thought of, for as long as one likes.
//!
//! Mutated frames through the programs in this host's kernel (`prog_model`), and libFuzzer over the host
//! build of what they are made of and over the agent's decoders (`tests/fuzz`).

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{build, exec, paths, test, tools::toolchain};

/// Targets of `tests/fuzz`.
const TARGETS: [&str; 6] = ["arp", "ndp", "ip", "event", "netlink", "text"];
/// More than any frame with options that the programs read, in bytes.
const LONGEST_INPUT: u32 = 512;

/// What cargo-fuzz builds with, but for the sanitizer.
const COVERAGE: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];
const ADDRESS_SANITIZER: &str = "-Zsanitizer=address";

/// How much to fuzz.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Mutated frames through the programs in this host's kernel; needs root; 0 for none
    #[arg(long, default_value_t = 10_000_000)]
    frames: u32,
    /// Seed, to repeat a run; without it one that no run had before
    #[arg(long)]
    seed: Option<u32>,
    /// Seconds of libFuzzer for each target; 0 for none
    #[arg(long, default_value_t = 60)]
    time: u32,
}

/// Runs both, the fuzzers even if the programs and the model disagree.
pub(crate) fn fuzz(args: &Args) -> Result<()> {
    let frames = if args.frames == 0 {
        Ok(())
    } else {
        programs(args)
    };
    let fuzzers = if args.time == 0 {
        Ok(())
    } else {
        fuzzers(args)
    };
    match (frames, fuzzers) {
        (Err(frames), Err(fuzzers)) => bail!("{frames:#}\n{fuzzers:#}"),
        (frames, fuzzers) => frames.and(fuzzers),
    }
}

fn programs(args: &Args) -> Result<()> {
    let mut settings = vec![("IPVLAN_FUZZ_FRAMES", args.frames.to_string())];
    settings.extend(args.seed.map(|seed| ("IPVLAN_FUZZ_SEED", seed.to_string())));
    test::as_root("prog_model", &settings)
}

fn fuzzers(args: &Args) -> Result<()> {
    let Some(directory) = targets() else {
        return Ok(());
    };
    let mut failures = Vec::new();
    for target in TARGETS {
        exec::say(format!("libFuzzer: {target}, {} s", args.time));
        match run(&directory.join(target), target, args) {
            Ok(runs) => println!("{target}: {runs} inputs, nothing wrong"),
            Err(error) => failures.push(format!("{target}: {error:#}")),
        }
    }
    exec::fail_for("libFuzzer:", &failures)
}

/// Builds the targets; gives where they are, or says why there are none.
fn targets() -> Option<PathBuf> {
    let (sanitized, plain) = (build(true), || build(false));
    let result = sanitized.or_else(|error| {
        exec::say(format!("no address sanitizer here: {error:#}"));
        plain()
    });
    result
        .inspect_err(|error| {
            exec::say(format!(
                "libFuzzer targets NOT run, they cannot be built: {error:#}"
            ));
        })
        .ok()
}

fn build(sanitize: bool) -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut flags = COVERAGE.to_vec();
    let mut directory = paths::target().join("fuzz");
    if sanitize {
        flags.push(ADDRESS_SANITIZER);
    } else {
        directory.push("plain");
    }
    exec::say("building the libFuzzer targets");
    // With a target named, build scripts and macros are built without the flags.
    let mut command = toolchain::find()?.command("cargo");
    build::without_object(&mut command)
        .current_dir(paths::workspace().join("tests/fuzz"))
        .env("RUSTFLAGS", flags.join(" "))
        .args(["build", "--release", "--locked", "--target", &triple])
        .arg("--target-dir")
        .arg(&directory);
    exec::progress(&mut command)?;
    Ok(directory.join(triple).join("release"))
}

/// Runs one target; gives the number of inputs it has tried.
fn run(binary: &Path, target: &str, args: &Args) -> Result<u64> {
    let corpus = paths::directory(paths::target().join("fuzz/corpus").join(target))?;
    let artifacts = paths::directory(paths::target().join("fuzz/artifacts").join(target))?;
    let time = Duration::from_secs(args.time.into());
    let mut command = Command::new(binary);
    command
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-max_len={LONGEST_INPUT}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1");
    // 0 is libFuzzer's word for any.
    command.args(args.seed.map(|seed| format!("-seed={seed}")));
    command.arg(&corpus).stdin(Stdio::null());
    let shown = exec::shown(&command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("`{shown}` failed: {}\n{}", output.status, last(&said, 60));
    }
    executed(&said).with_context(|| format!("`{shown}` did not tell what it has done"))
}

/// The last lines of a text.
fn last(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// What libFuzzer tells at its end.
fn executed(said: &str) -> Option<u64> {
    let number = said
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_inputs_is_found_among_what_libfuzzer_says() {
        let said = "Done 239985 runs in 9 second(s)\n\
                    stat::number_of_executed_units: 239985\n\
                    stat::average_exec_per_sec:     26665\n";
        assert_eq!(executed(said), Some(239_985));
        assert_eq!(executed("SUMMARY: libFuzzer: deadly signal"), None);
    }

    #[test]
    fn the_end_of_a_text_is_its_last_lines() {
        assert_eq!(last("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last("a", 2), "a");
    }

    #[test]
    fn every_target_is_in_the_crate_and_the_other_way_round() {
        let manifest = include_str!("../../tests/fuzz/Cargo.toml");
        for target in TARGETS {
            assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")));
        }
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    }
}
