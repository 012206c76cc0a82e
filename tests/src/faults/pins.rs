//! What is pinned is taken away, replaced or cannot be: while an agent lives, and while none does.

use std::{os::unix::process::CommandExt as _, process};

use nix::mount::{MsFlags, mount, umount};

use super::{row::Row, stage::Stage};
use crate::{agent, rows::prelude::*};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "pins removed while the agent lives, then SIGKILL",
        removed_alive,
    )
    .on_any_kernel(),
    Row::new("pins removed while no agent lives", removed_dead).on_any_kernel(),
    Row::new("maps pinned by another layout alone", old_layout).on_any_kernel(),
    Row::new("a map of another shape in the place of a pin", other_shape).on_any_kernel(),
    Row::new("room in the maps changed (--max-addresses)", other_room).on_any_kernel(),
    Row::new(
        "a start that fails late, over what another agent left",
        fails_late,
    )
    .on_any_kernel(),
    Row::new("no bpffs, and a read-only one", no_bpffs).on_any_kernel(),
    Row::new("no BTF of the kernel", no_btf).on_any_kernel(),
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
    stage.expect_least("pins", before.len(), 1);
    remove(&before)?;
    let took = wait_for("pinned again", || Ok(listing()? == before))?;
    stage.traffic.healed(took);
    stage.kill()?;
    stage.settle()?;
    stage.start_again()?;
    stage.settle()
}

/// With its last pin a link is gone; the next agent finds nothing, and makes everything anew.
fn removed_dead(stage: &mut Stage) -> Result<()> {
    let begun = Instant::now();
    restored(stage, remove)?;
    stage.recovered(begun)
}

/// As if an agent of another layout had been the last one: its maps are replaced without a gap.
fn old_layout(stage: &mut Stage) -> Result<()> {
    restored(stage, |pins| {
        let layout = map(pins)?.parent().context("a map in no directory")?;
        Ok(fs::rename(layout, layout.with_file_name("v2"))?)
    })
}

/// It is never used, and the datapath goes on with the maps that it holds.
fn other_shape(stage: &mut Stage) -> Result<()> {
    restored(stage, |pins| {
        let map = map(pins)?;
        fs::remove_file(map)?;
        // Keys are longer than those of the address map.
        let other = aya::maps::HashMap::<_, u64, u64>::create(1, 0)?;
        Ok(other.pin(map)?)
    })
}

/// Kills the agent, changes what is pinned and starts another: it pins the same.
fn restored(stage: &mut Stage, change: impl FnOnce(&[PathBuf]) -> Result<()>) -> Result<()> {
    let before = listing()?;
    stage.kill()?;
    change(&before)?;
    stage.start_again()?;
    stage.expect_eq("pins", &listing()?, &before);
    Ok(())
}

/// Where a map is pinned: in the directory of a layout.
fn map(pins: &[PathBuf]) -> Result<&Path> {
    let map = pins.iter().find(|pin| pin.ends_with("ADDRESSES_V4"));
    Ok(map.context("ADDRESSES_V4 is not pinned")?)
}

fn other_room(stage: &mut Stage) -> Result<()> {
    for options in [&["--max-addresses", "64"][..], &[]] {
        stage.kill()?;
        stage.start(options)?;
        stage.settle()?;
        stage.expect_agreement(&format!("{options:?}"))?;
    }
    Ok(())
}

/// The pinned datapath keeps answering, also where the maps of the new agent would have another layout. The
/// agent can create its lock file and not its socket: a directory has the name that the socket is created by.
fn fails_late(stage: &mut Stage) -> Result<()> {
    let directory = PathBuf::from("/run/ipvlan-lab-late");
    for program in [stage.play.plan.ipvlan.clone(), stage.play.plan.next.clone()] {
        stage.kill()?;
        let mut command = agent::run_pinned(&program, &directory, &[PARENT]);
        command.arg("--pin-dir").arg(pin_dir(PARENT));
        let taken = directory.clone();
        let take = move || fs::create_dir_all(taken.join(format!("{}.new", process::id())));
        // SAFETY: between fork and exec it only makes directories; the allocator of the C library may be used
        // in the child of a fork. There is no shell in the machine.
        unsafe { command.pre_exec(take) };
        stage.expect_failure(&mut command, 1, "")?;
        stage.settle()?;
        stage.start_again()?;
    }
    Ok(())
}

/// It serves, notes that what is attached goes with it, and that is so.
fn no_bpffs(stage: &mut Stage) -> Result<()> {
    connect(&stage.host, "ens36", &stage.lan, "p-ens36")?;
    let (none, read_only) = (None::<&str>, Path::new("/run/ipvlan-lab-bpffs"));
    fs::create_dir_all(read_only)?;
    let (kind, flags) = (Some("bpf"), MsFlags::MS_RDONLY);
    mount(kind, read_only, kind, flags, none)?;
    for pins in [PathBuf::from("/run/no-bpffs/pins"), read_only.join("pins")] {
        let case = format!("with {}", pins.display());
        let second = stage.second_with("ens36", pins)?;
        let notes = second.agent.status()?["parents"][0]["notes"].to_string();
        stage.expect_has(&format!("{case}: notes"), &notes, "pinned");
        second.stop()?;
        stage.expect_nothing_on("ens36", &case)?;
    }
    umount(read_only)?;
    stage.host.ip("link del ens36\n")?;
    stage.settle()
}

fn no_btf(stage: &mut Stage) -> Result<()> {
    let (btf, none) = ("/sys/kernel/btf", None::<&str>);
    mount(Some("none"), btf, Some("tmpfs"), MsFlags::empty(), none)?;
    let started = stage.kill().and_then(|()| stage.start_again());
    umount(btf)?;
    started?;
    stage.settle()
}
