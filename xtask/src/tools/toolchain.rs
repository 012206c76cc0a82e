//! The compiler for the BPF target: a rustc with the source of its own standard library.
//!
//! A rustup nightly that has (or gets) the rust-src component is taken first, then Debian's set.
//! Either counts only if an LLVM to build bpf-linker against can be had in the same version.

use std::{path::Path, process::Command, sync::OnceLock};

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::exec;

/// Tells every build which BPF toolchain to use: a rustup toolchain, or where one is installed.
pub(crate) const TOOLCHAIN: &str = "IPVLAN_BPF_TOOLCHAIN";

const DEBIAN: &str = "/usr";
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// A compiler that can build core for the BPF target.
#[derive(Clone, Debug)]
pub(crate) struct Toolchain {
    /// What `IPVLAN_BPF_TOOLCHAIN` must be to get it.
    pub name: String,
    /// Its version, for people.
    pub version: String,
    /// The major version of the LLVM in it.
    pub llvm: u32,
}

impl Toolchain {
    /// A command that runs `program` of this toolchain.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = program_of(&self.name, program);
        if self.name.starts_with('/') {
            // A stable compiler builds core only when unstable options are allowed.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }
}

/// Finds the toolchain, installing what is missing. Looks once per run.
pub(crate) fn find() -> Result<Toolchain> {
    static FOUND: OnceLock<Result<Toolchain, String>> = OnceLock::new();
    FOUND
        .get_or_init(|| look().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
        .context("no Rust compiler that can build for the BPF target")
}

fn look() -> Result<Toolchain> {
    if let Ok(name) = std::env::var(TOOLCHAIN) {
        return usable(&name).with_context(|| format!("{TOOLCHAIN} says {name}"));
    }
    for name in nightlies() {
        match nightly(&name) {
            Ok(toolchain) => return Ok(toolchain),
            Err(error) => exec::say(format!("not using the toolchain {name}: {error:#}")),
        }
    }
    apt::install(&DEBIAN_PACKAGES).context(
        "`rustup toolchain install nightly --component rust-src` is the other way to one",
    )?;
    usable(DEBIAN)
}

fn nightlies() -> Vec<String> {
    if exec::which("rustup").is_none() {
        return Vec::new();
    }
    exec::output(Command::new("rustup").args(["toolchain", "list"]))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("nightly"))
        .map(str::to_owned)
        .collect()
}

fn nightly(name: &str) -> Result<Toolchain> {
    if !has_source(name)? {
        let mut command = Command::new("rustup");
        command.args(["component", "add", "rust-src", "--toolchain", name]);
        exec::output(&mut command).context("it has no rust-src")?;
    }
    let toolchain = usable(name)?;
    if !toolchain.version.contains("nightly") {
        bail!("it is really {}", toolchain.version);
    }
    Ok(toolchain)
}

fn usable(name: &str) -> Result<Toolchain> {
    let about = exec::output(rustc(name).arg("-vV"))?;
    let field = |key: &str| {
        about
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .map(str::trim)
            .with_context(|| format!("`rustc -vV` does not tell its {key}"))
    };
    let version = field("release:")?.to_owned();
    let llvm = llvm_major(field("LLVM version:")?)?;
    if !has_source(name)? {
        bail!("rustc {version} has no source of the standard library (component rust-src)");
    }
    let development = llvm_package(llvm);
    if apt::installed(&development).is_none() && !apt::available(&development) {
        bail!(
            "rustc {version} needs a bpf-linker built with LLVM {llvm}: no package {development}"
        );
    }
    Ok(Toolchain {
        name: name.to_owned(),
        version,
        llvm,
    })
}

fn llvm_major(version: &str) -> Result<u32> {
    let major = version.split('.').next().unwrap_or_default();
    major
        .parse()
        .with_context(|| format!("`rustc -vV` tells the LLVM version {version:?}"))
}

/// The Debian package to build against LLVM `major` with.
pub(crate) fn llvm_package(major: u32) -> String {
    format!("llvm-{major}-dev")
}

fn has_source(name: &str) -> Result<bool> {
    let sysroot = exec::output(rustc(name).args(["--print", "sysroot"]))?;
    let library = "lib/rustlib/src/rust/library/core";
    Ok(Path::new(sysroot.trim()).join(library).is_dir())
}

fn rustc(name: &str) -> Command {
    program_of(name, "rustc")
}

fn program_of(name: &str, program: &str) -> Command {
    if name.starts_with('/') {
        return Command::new(Path::new(name).join("bin").join(program));
    }
    let mut command = Command::new("rustup");
    command.args(["run", name, program]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_version_is_its_first_number() {
        assert_eq!(llvm_major("22.1.8").unwrap(), 22);
        assert!(llvm_major("unknown").is_err());
    }
}
