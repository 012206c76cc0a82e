//! Names of links are bytes that their owner chooses: they stop no sync, no start and no terminal.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use super::newcomer;
use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S1",
        User,
        "links named 0xff, control bytes, half a character, in an unprivileged user's netns",
        "every sync succeeds, a restart is ready, others are served",
        Run::Each(L3, in_user_netns),
    )
    .on_any_kernel(),
    Row::new(
        "S1",
        Container,
        "a container renames its own child to such names",
        "every sync succeeds, a restart is ready, others are served",
        Run::Each(L3, own_child),
    )
    .on_any_kernel(),
    Row::new(
        "S13",
        Container,
        "a child named ESC[31m, an OSC title and BEL",
        "`status` prints no control character",
        Run::Each(L3, in_status),
    )
    .alone("the name is shown by no tool of ours")
    .on_any_kernel(),
];

/// Names that the kernel takes: 1 to 15 bytes without a slash, a blank or a zero.
const NAMES: [&[u8]; 6] = [
    b"\xff",
    b"\xc3",
    b"\x1b[31m",
    b"\x1b]0;x\x07",
    b"a\xe2\x80\xae",
    b"\x01\x02\x7f\x80",
];

/// Runs `ip` with words that need not be text.
fn ip(netns: &Netns, words: &[&[u8]]) -> Result<()> {
    let words = words.iter().map(|word| OsStr::from_bytes(word));
    netns.command(Command::new("ip").args(words), "").map(drop)
}

fn rename(netns: &Netns, from: &[u8], to: &[u8]) -> Result<()> {
    ip(netns, &[b"link", b"set", b"dev", from, b"down"])?;
    ip(netns, &[b"link", b"set", b"dev", from, b"name", to])?;
    ip(netns, &[b"link", b"set", b"dev", to, b"up"])
}

fn in_user_netns(scene: &mut Scene) -> Result<()> {
    scene.alone(answered(scene)?);
    scene.start(&[])?;
    let user = Netns::of_user("user")?;
    for name in NAMES {
        ip(&user, &[b"link", b"add", name, b"type", b"veth"])?;
    }
    served_after(scene)
}

fn own_child(scene: &mut Scene) -> Result<()> {
    scene.alone(answered(scene)?);
    scene.start(&[])?;
    let mut name = CHILD.as_bytes();
    scene.case("after a rename");
    for next in NAMES {
        rename(&scene.third, name, next)?;
        name = next;
        scene.expect_others_answered()?;
    }
    rename(&scene.third, name, NAMES[0])?;
    served_after(scene)
}

/// A new address of another child, a restart, a start from nothing: all of it as ever.
fn served_after(scene: &mut Scene) -> Result<()> {
    let samples = scene.play.plan.either(2, 10);
    newcomer::under(scene, samples, |_, _| Ok(()))?;
    let failed = scene.agent()?.status()?["sync"]["failed"].as_u64();
    scene.expect_eq("failed syncs", failed, Some(0));
    scene.kill()?;
    scene.start_again()?;
    scene.case("after a restart");
    scene.expect_others_answered()?;
    scene.clear()?;
    scene.start_again()?;
    scene.case("after a start from nothing");
    scene.expect_others_answered()?;
    scene.with_agent(answered(scene)?);
    Ok(())
}

fn answered(scene: &Scene) -> Result<String> {
    let answered = scene.steady_answered()?;
    Ok(format!(
        "{answered} of {STEADY_ADDRESSES} addresses of others answered"
    ))
}

fn in_status(scene: &mut Scene) -> Result<()> {
    let mut name = NAMES[3];
    rename(&scene.third, CHILD.as_bytes(), name)?;
    scene.start(&[])?;
    for next in NAMES {
        if next != name {
            rename(&scene.third, name, next)?;
            name = next;
        }
        let text = scene.status_text()?;
        ensure!(!text.is_empty(), "`status` prints nothing");
        let log = scene.agent()?.said();
        for (place, text) in [("`status`", text), ("the log", log)] {
            let is_odd =
                |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
            scene.expect_none(place, text.chars().filter(|&c| is_odd(c)));
        }
    }
    Ok(())
}
