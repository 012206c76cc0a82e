//! bpf-linker, built against the LLVM of the compiler whose bitcode it reads.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use super::{apt, toolchain};
use crate::{exec, paths};

const VERSION: &str = "0.13.0";

/// Installs bpf-linker for bitcode of LLVM `llvm`; gives its version.
pub(crate) fn install(llvm: u32) -> Result<String> {
    let wanted = format!("bpf-linker {VERSION} with LLVM {llvm}");
    let stamp = stamp();
    if binary().is_file() && fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == wanted) {
        return Ok(wanted);
    }
    let packages = [
        toolchain::llvm_package(llvm),
        format!("libpolly-{llvm}-dev"),
        "zlib1g-dev".to_owned(),
        "libzstd-dev".to_owned(),
    ];
    apt::install(&packages.each_ref().map(String::as_str))
        .with_context(|| format!("bpf-linker needs LLVM {llvm} to build"))?;
    exec::say(format!("building {wanted} (about a minute)"));
    let mut command = super::cargo_install("bpf-linker", VERSION);
    command
        .env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}"))
        .args(["--force", "--features", &format!("llvm-{llvm}")]);
    exec::progress(&mut command)?;
    fs::write(&stamp, &wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(wanted)
}

fn binary() -> PathBuf {
    paths::tools().join("bin/bpf-linker")
}

fn stamp() -> PathBuf {
    paths::tools().join("bpf-linker.stamp")
}
