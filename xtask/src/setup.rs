//! `cargo xtask setup`: everything at once, one line per thing.

use anyhow::{Result, bail};

use crate::{
    exec,
    tools::{clients, deny, linker, toolchain},
    vm::kernels::{self, Flavour, Kernel},
};

/// Finds or installs everything; tells what could not be had and fails then.
pub(crate) fn setup() -> Result<()> {
    let mut missing = 0;
    let mut tell = |what: &str, found: Result<String>| match found {
        Ok(version) => exec::say(format!("{what:<16}{version}")),
        Err(error) => {
            missing += 1;
            exec::say(format!("{what:<16}MISSING: {error:#}"));
        }
    };
    let toolchain = toolchain::find();
    let linker = match &toolchain {
        Ok(toolchain) => linker::install(toolchain.llvm),
        Err(_) => Err(anyhow::anyhow!("needs the BPF toolchain first")),
    };
    tell(
        "BPF toolchain",
        toolchain.map(|toolchain| {
            format!(
                "{}: rustc {}, LLVM {}",
                toolchain.name, toolchain.version, toolchain.llvm
            )
        }),
    );
    tell("linker", linker);
    for (what, programs) in [
        ("lab", &clients::LAB[..]),
        ("terminal", &clients::NETNS),
        ("virtual machine", &clients::VM),
        ("unit file", &clients::UNIT),
    ] {
        tell(
            what,
            clients::install(programs).map(|packages| packages.join(", ")),
        );
    }
    for kernel in Kernel::ALL {
        let installed = kernels::install(kernel, Flavour::Cloud);
        tell(
            &format!("kernel {kernel}"),
            installed.map(|installed| installed.release),
        );
    }
    tell("dependencies", deny::install());
    if missing > 0 {
        bail!("{missing} of the things above could not be had");
    }
    Ok(())
}
