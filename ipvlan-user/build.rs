//! Builds the eBPF object that the loader carries.
//!
//! aya-build runs the cargo of a BPF-capable toolchain. Which one is told by `IPVLAN_BPF_TOOLCHAIN`
//! (a rustup toolchain name or the path of an installation; default `nightly`); `cargo xtask` sets
//! it to what `cargo xtask setup` found. `AYA_BUILD_SKIP=1` builds an empty object: enough to check
//! and lint, refused at run time.

use std::{env, fs, path::Path};

use anyhow::Context as _;
use aya_build::{Package, Toolchain};

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-env-changed=IPVLAN_BPF_TOOLCHAIN");
    for dependency in ["ipvlan-common", "ipvlan-ebpf"] {
        println!("cargo:rerun-if-changed=../{dependency}");
    }
    let out_dir = env::var("OUT_DIR").context("cargo sets OUT_DIR for build scripts")?;
    let object = Path::new(&out_dir).join("ipvlan-ebpf");
    fs::write(&object, []).with_context(|| format!("write {}", object.display()))?;

    let toolchain = env::var("IPVLAN_BPF_TOOLCHAIN");
    if toolchain
        .as_ref()
        .is_ok_and(|toolchain| toolchain.starts_with('/'))
    {
        // SAFETY: a build script has one thread here. A distribution's stable compiler builds core
        // for the BPF target only when unstable options are allowed; aya-build looks for this.
        unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    }
    // Link-time optimisation inlines across crates what the verifier should see as one function. For
    // the object only: the same setting in Cargo.toml would slow the build of the agent for nothing.
    // SAFETY: as above; aya-build's cargo inherits it.
    unsafe { env::set_var("CARGO_PROFILE_RELEASE_LTO", "thin") };
    let root_dir = env::current_dir()
        .context("current directory")?
        .join("../ipvlan-ebpf");
    let features: Vec<&str> = [
        ("CARGO_FEATURE_TRACE", "trace"),
        ("CARGO_FEATURE_NEXT_LAYOUT", "next-layout"),
    ]
    .into_iter()
    .filter(|(variable, _)| env::var_os(variable).is_some())
    .map(|(_, feature)| feature)
    .collect();
    aya_build::build_ebpf(
        [Package {
            name: "ipvlan-ebpf",
            root_dir: root_dir
                .to_str()
                .context("path of ipvlan-ebpf is not UTF-8")?,
            features: &features,
            ..Package::default()
        }],
        toolchain
            .as_deref()
            .map_or(Toolchain::Nightly, Toolchain::Custom),
    )
    .context("build the eBPF object (`cargo xtask setup` installs what it needs)")
}
