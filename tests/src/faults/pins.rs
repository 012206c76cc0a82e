//! What is pinned is taken away, replaced or cannot be: while an agent lives, and while none does.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount, umount};

use super::{
    row::Row,
    site::PARENT,
    stage::{Stage, pin_dir, wait_for},
};
use crate::bpf;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "pins removed while the agent lives, then SIGKILL",
        removed_alive,
    ),
    Row::new("pins removed while no agent lives", removed_dead),
    Row::new("an older layout beside the pins", old_layout),
    Row::new("a map of another shape in the place of a pin", other_shape),
    Row::new("room in the maps changed (--max-addresses)", other_room),
    Row::new("no bpffs, and a read-only one", no_bpffs),
    Row::new("no BTF of the kernel", no_btf),
];

/// Everything below the pin directory, the directories without what is in them.
pub(super) fn listing() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let top = pin_dir(PARENT);
    if top.exists() {
        list(&top, &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn list(directory: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}

fn remove(pins: &[PathBuf]) -> Result<()> {
    for pin in pins {
        fs::remove_file(pin).with_context(|| format!("cannot remove {}", pin.display()))?;
    }
    Ok(())
}

/// They are there again, or the next death would be one of the datapath.
fn removed_alive(stage: &mut Stage) -> Result<()> {
    let before = listing()?;
    stage.expect(!before.is_empty(), || "nothing is pinned".to_owned());
    remove(&before)?;
    let took = wait_for("pinned again", || Ok(listing()? == before))?;
    stage.traffic.healed(took);
    stage.kill()?;
    stage.settle()?;
    stage.start()?;
    stage.settle()
}

/// With its last pin a link is gone; the next agent finds nothing, and makes everything anew.
fn removed_dead(stage: &mut Stage) -> Result<()> {
    let before = listing()?;
    let begun = Instant::now();
    stage.kill()?;
    remove(&before)?;
    stage.start()?;
    stage.traffic.recovered(begun);
    let after = listing()?;
    stage.expect(after == before, || {
        format!("pinned is {after:?}, and was {before:?}")
    });
    stage.settle()
}

/// Where a pin is: in the directory of a layout.
fn directory(pins: &[PathBuf]) -> Result<PathBuf> {
    let pin = pins.first().context("nothing is pinned")?;
    Ok(pin.parent().context("a pin in no directory")?.to_owned())
}

/// What nobody can read any more is removed, and is not in the way.
fn old_layout(stage: &mut Stage) -> Result<()> {
    let before = listing()?;
    let old = directory(&before)?.with_file_name("v0");
    fs::create_dir(&old)?;
    bpf::pin_map(16, &old.join("ADDRESSES_V4"))?;
    stage.kill()?;
    stage.start()?;
    let after = listing()?;
    stage.expect(after == before, || {
        format!("pinned is {after:?}, and was {before:?}")
    });
    stage.settle()
}

/// It is never used; whether the datapath could be kept meanwhile is not asked.
fn other_shape(stage: &mut Stage) -> Result<()> {
    let before = listing()?;
    let map = before.iter().find(|pin| pin.ends_with("ADDRESSES_V4"));
    let map = map.context("ADDRESSES_V4 is not pinned")?.clone();
    stage.kill()?;
    fs::remove_file(&map)?;
    bpf::pin_map(8, &map)?;
    stage.start()?;
    let after = listing()?;
    stage.expect(after == before, || {
        format!("pinned is {after:?}, and was {before:?}")
    });
    stage.settle()
}

fn other_room(stage: &mut Stage) -> Result<()> {
    let program = stage.plan.ipvlan.clone();
    for options in [&["--max-addresses", "64"][..], &[]] {
        stage.kill()?;
        stage.start_with(&program, options)?;
        stage.settle()?;
        let found = stage.difference()?;
        stage.expect(found.is_none(), || format!("{options:?}: {found:?}"));
    }
    Ok(())
}

/// A start says so and leaves nothing, or serves and says that it does not outlive its process.
fn no_bpffs(stage: &mut Stage) -> Result<()> {
    crate::lab::connect(&stage.site.host, "ens36", &stage.site.lan, "p-ens36")?;
    let (none, read_only) = (None::<&str>, Path::new("/run/ipvlan-faults-bpffs"));
    fs::create_dir_all(read_only)?;
    mount(
        Some("bpf"),
        read_only,
        Some("bpf"),
        MsFlags::MS_RDONLY,
        none,
    )?;
    for directory in [Path::new("/run/no-bpffs/pins"), &read_only.join("pins")] {
        let mut command = stage.command_for("ens36");
        // The last one counts.
        command.arg("--pin-dir").arg(directory);
        let (code, said) = stage.fails(&mut command)?;
        let told = said.contains("bpf") && said.contains("hint: ");
        stage.expect([1, 77].contains(&code) && told, || {
            format!("with {} it ended with {code}: {said}", directory.display())
        });
        let left = crate::hooks::attached(&stage.site.host, &["ens36"])?;
        stage.expect(left.is_empty(), || format!("it left {left:?}"));
    }
    umount(read_only)?;
    stage.site.host.ip("link del ens36\n")?;
    stage.settle()
}

fn no_btf(stage: &mut Stage) -> Result<()> {
    let (btf, none) = ("/sys/kernel/btf", None::<&str>);
    mount(Some("none"), btf, Some("tmpfs"), MsFlags::empty(), none)?;
    let started = stage.kill().and_then(|()| stage.start());
    umount(btf)?;
    started?;
    stage.settle()
}
