//! `cargo xtask build`: the eBPF object, the agent that carries it and the lab.
//!
//! Whatever needs the real object builds it here, in one profile: the compiler for the BPF target builds its own core
//! library in each.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::Message;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use crate::{
    exec, paths,
    tools::{self, linker, toolchain},
};

const OBJECT: &str = "ipvlan-ebpf";

/// Builds everything and prints the size of each program.
pub(crate) fn build() -> Result<()> {
    let object = release()?;
    for program in programs(&object)? {
        println!(
            "{:<24}{:>6} bytes {:>5} instructions",
            program.name,
            program.bytes,
            program.bytes / INSTRUCTION
        );
    }
    println!("agent: {}", paths::release("ipvlan").display());
    Ok(())
}

/// Builds the binaries; gives the path of the object that the agent carries.
pub(crate) fn release() -> Result<PathBuf> {
    exec::say("building the eBPF object, the agent and the lab");
    let mut command = Command::new("cargo");
    command.args([
        "build",
        "--release",
        "-p",
        "ipvlan-user",
        "-p",
        "ipvlan-tests",
    ]);
    messages(&mut command)?
        .into_iter()
        .filter_map(|message| match message {
            Message::BuildScriptExecuted(script) => Some(script.out_dir),
            _ => None,
        })
        .map(|directory| directory.join(OBJECT).into_std_path_buf())
        .find(|object| object.is_file())
        .context("cargo did not tell where the eBPF object is")
}

/// Builds the agent once more, with another layout of its maps: what an upgrade is tried with.
///
/// In the same directory, where everything that does not differ is built already; so the binary is
/// copied, and the usual one put back in its place.
pub(crate) fn next_layout() -> Result<()> {
    exec::say("building the agent with another layout of its maps");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "-p", "ipvlan-user"]);
    command.args(["--features", "ipvlan-user/next-layout"]);
    messages(&mut command)?;
    let next = paths::next();
    paths::directory(next.with_file_name(""))?;
    let built = paths::release("ipvlan");
    fs::copy(&built, &next).with_context(|| format!("cannot copy {}", built.display()))?;
    release().map(drop)
}

/// Runs a cargo command that needs the real object; returns its messages.
pub(crate) fn messages(command: &mut Command) -> Result<Vec<Message>> {
    with_object(command)?;
    command
        .arg("--message-format=json-render-diagnostics")
        .stderr(std::process::Stdio::inherit());
    let shown = exec::shown(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}", output.status);
    }
    Message::parse_stream(output.stdout.as_slice())
        .collect::<Result<_, _>>()
        .with_context(|| format!("`{shown}` reported something that is not JSON"))
}

/// Makes `command` find what builds the object.
fn with_object(command: &mut Command) -> Result<()> {
    let toolchain = toolchain::find()?;
    linker::install(toolchain.llvm)?;
    command
        .current_dir(paths::workspace())
        .env("PATH", tools::search_path(&toolchain)?)
        .env(toolchain::TOOLCHAIN, &toolchain.name)
        .env_remove(SKIP);
    Ok(())
}

/// Makes `command` build an empty object: enough to check, lint and test on the host.
pub(crate) fn without_object(command: &mut Command) -> &mut Command {
    command.current_dir(paths::workspace()).env(SKIP, "1")
}

const SKIP: &str = "AYA_BUILD_SKIP";
const INSTRUCTION: u64 = 8;

struct Program {
    name: String,
    bytes: u64,
}

/// The programs in the object: global functions in its executable sections.
fn programs(path: &std::path::Path) -> Result<Vec<Program>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let object = object::File::parse(bytes.as_slice())
        .with_context(|| format!("{} is not an object file", path.display()))?;
    let mut programs = Vec::new();
    for symbol in object.symbols() {
        let Some(section) = symbol.section_index() else {
            continue;
        };
        let section = object.section_by_index(section)?.name()?.to_owned();
        if symbol.kind() == SymbolKind::Text && symbol.is_global() && section != ".text" {
            programs.push(Program {
                name: symbol.name()?.to_owned(),
                bytes: symbol.size(),
            });
        }
    }
    if programs.is_empty() {
        bail!("no program in {}", path.display());
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}
