//! Builds the eBPF objects: the programs of the datapath, and those of the tests.
//!
//! aya-build runs the cargo of a BPF-capable toolchain. Which one is told by `IPVLAN_BPF_TOOLCHAIN`
//! (a rustup toolchain name or the path of an installation; default `nightly`); `cargo xtask` sets
//! it to what `cargo xtask setup` found. `AYA_BUILD_SKIP=1` builds an empty object: enough to check
//! and lint, refused at run time.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use aya_build::{Package, Toolchain};
use object::{
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
};

/// What links the objects, found in `PATH`.
const LINKER: &str = "bpf-linker";

/// The programs of the datapath and those of the tests: binaries of `ipvlan-ebpf`, so that core is compiled once.
const OBJECTS: [&str; 3] = ["ipvlan-ebpf", "ipvlan-ebpf-capture", "ipvlan-lab-ebpf"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        // One line: a backtrace of a build script says nothing about what is missing.
        Err(failure) => {
            eprintln!("error: {failure:#}");
            eprintln!("hint: run `cargo xtask setup` once, then `cargo xtask build`");
            ExitCode::FAILURE
        }
    }
}

fn build() -> anyhow::Result<()> {
    println!("cargo:rerun-if-env-changed=IPVLAN_BPF_TOOLCHAIN");
    for source in ["../src", "../lab", "../Cargo.toml", "../../ipvlan-common"] {
        println!("cargo:rerun-if-changed={source}");
    }
    let out_dir = env::var_os("OUT_DIR").context("cargo sets OUT_DIR for build scripts")?;
    let out_dir = Path::new(&out_dir);
    if is_skipped() {
        for object in OBJECTS {
            write(&out_dir.join(object), &[])?;
        }
    }

    ensure!(
        is_skipped() || is_in_path(LINKER),
        "the eBPF object cannot be built: there is no {LINKER} in PATH"
    );
    // rustup would print its own backtrace where the toolchain is missing.
    // SAFETY: a build script has one thread here.
    unsafe { env::remove_var("RUST_BACKTRACE") };
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
    // Whatever the profile of the agent's build: compiled in parts or with less optimisation, the verifier would
    // follow another program than the one that was measured.
    // SAFETY: as above.
    unsafe {
        env::set_var("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3");
        env::set_var("CARGO_PROFILE_RELEASE_INCREMENTAL", "false");
        env::remove_var("CARGO_INCREMENTAL");
    }
    let root_dir = env::current_dir().context("current directory")?.join("..");
    let features: Vec<&str> = [
        ("CARGO_FEATURE_TRACE", "trace"),
        ("CARGO_FEATURE_NEXT_LAYOUT", "next-layout"),
    ]
    .into_iter()
    .filter(|(variable, _)| env::var_os(variable).is_some())
    .map(|(_, feature)| feature)
    .collect();
    let shared = shared(out_dir)?;
    let lock = shared.join("lock");
    let lock = File::create(&lock).with_context(|| format!("create {}", lock.display()))?;
    lock.lock().context("lock the directory of the objects")?;
    // SAFETY: as above.
    unsafe { env::set_var("OUT_DIR", &shared) };
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
    .context("the eBPF object cannot be built")?;
    if is_skipped() {
        return Ok(());
    }
    for object in OBJECTS {
        let built = shared.join(object);
        let built = fs::read(&built).with_context(|| format!("read {}", built.display()))?;
        let stripped =
            without_debug_sections(&built).with_context(|| format!("cannot strip {object}"))?;
        write(&out_dir.join(object), &stripped)?;
    }
    Ok(())
}

/// Returns the directory in which aya-build compiles, beside the output of this script. Cargo gives each set of features
/// an output of its own, but core for the BPF target, which takes longest, is the same in all of them.
fn shared(out_dir: &Path) -> anyhow::Result<PathBuf> {
    let beside = out_dir.ancestors().nth(2);
    let shared = beside
        .context("OUT_DIR has two parents")?
        .join("ipvlan-bpf");
    fs::create_dir_all(&shared).with_context(|| format!("create {}", shared.display()))?;
    Ok(shared)
}

fn write(path: &Path, object: &[u8]) -> anyhow::Result<()> {
    fs::write(path, object).with_context(|| format!("write {}", path.display()))
}

/// Returns `object` without DWARF, which is four fifths of it and which nothing reads at run time: aya takes the
/// line numbers of the verifier's log from BTF. Relocations of these sections would be parsed at each start.
fn without_debug_sections(object: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut builder = Builder::read(object)?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        let of_debug = [&b".debug_"[..], b".rel.debug_", b".rela.debug_"];
        section.delete = of_debug.iter().any(|prefix| name.starts_with(prefix));
    }
    // LLVM keeps the names of sections among those of symbols; the builder writes a table of their own.
    let names = builder.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

/// Returns whether aya-build builds an empty object.
fn is_skipped() -> bool {
    env::var_os("AYA_BUILD_SKIP")
        .is_some_and(|skip| skip == "1" || skip.eq_ignore_ascii_case("true"))
}

fn is_in_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| {
        env::split_paths(&path).any(|directory| directory.join(program).is_file())
    })
}
