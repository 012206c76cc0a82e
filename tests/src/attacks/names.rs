//! Names of links are bytes that their owner chooses: they stop no sync, no start and no terminal.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, process::Command};

use anyhow::{Result, ensure};

use super::newcomer::{self, others_answered};
use crate::{
    demo::mode::Mode,
    faults::{site::CHILD, stage::Plan},
    netns::Netns,
    rows::{
        row::{
            Kind::{Container, User},
            Row, Verdict,
        },
        scene::Scene,
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "S1",
        User,
        "links named 0xff, control bytes, half a character, in an unprivileged user's netns",
        "every sync succeeds, a restart is ready, others are served",
        in_user_netns,
    )
    .on_any_kernel(),
    Row::new(
        "S1",
        Container,
        "a container renames its own child to such names",
        "every sync succeeds, a restart is ready, others are served",
        own_child,
    )
    .on_any_kernel(),
    Row::new(
        "S13",
        Container,
        "a child named ESC[31m, an OSC title and BEL",
        "`status` prints no control character",
        in_status,
    )
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

fn in_user_netns(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    verdict.alone(answered(&scene)?);
    scene.start(&[])?;
    let user = Netns::of_user("user")?;
    for name in NAMES {
        ip(&user, &[b"link", b"add", name, b"type", b"veth"])?;
    }
    served_after(&mut scene, plan, &mut verdict)?;
    drop(user);
    scene.clear()?;
    Ok(verdict)
}

fn own_child(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    verdict.alone(answered(&scene)?);
    scene.start(&[])?;
    let mut name = CHILD.as_bytes();
    for next in NAMES {
        rename(&scene.site.third, name, next)?;
        name = next;
        others_answered(&scene, &mut verdict, "after a rename")?;
    }
    rename(&scene.site.third, name, NAMES[0])?;
    served_after(&mut scene, plan, &mut verdict)?;
    scene.clear()?;
    Ok(verdict)
}

/// A new address of another child, a restart, a start from nothing: all of it as ever.
fn served_after(scene: &mut Scene, plan: &Plan, verdict: &mut Verdict) -> Result<()> {
    let samples = plan.either(2, 10);
    newcomer::under(scene, samples, |_, _| Ok(()))?.judge(verdict);
    let sync = scene.agent()?.status()?["sync"].clone();
    verdict.expect(sync["failed"] == 0, || format!("syncs failed: {sync}"));
    scene.kill()?;
    scene.start_again()?;
    others_answered(scene, verdict, "after a restart")?;
    scene.clear()?;
    scene.start_again()?;
    others_answered(scene, verdict, "after a start from nothing")?;
    verdict.agent(answered(scene)?);
    Ok(())
}

fn answered(scene: &Scene) -> Result<String> {
    let answered = scene.steady_answered()?;
    let all = crate::rows::scene::STEADY_ADDRESSES;
    Ok(format!("{answered} of {all} addresses of others answered"))
}

fn in_status(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    verdict.alone("the name is shown by no tool of ours");
    let mut name = CHILD.as_bytes();
    rename(&scene.site.third, name, NAMES[3])?;
    name = NAMES[3];
    scene.start(&[])?;
    for next in NAMES {
        if next != name {
            rename(&scene.site.third, name, next)?;
            name = next;
        }
        let text = scene.status_text()?;
        ensure!(!text.is_empty(), "`status` prints nothing");
        let control = text.chars().find(|&c| c.is_control() && c != '\n');
        let bidirectional = text.chars().find(|c| matches!(c, '\u{202a}'..='\u{202e}'));
        verdict.expect(control.or(bidirectional).is_none(), || {
            format!("`status` prints {control:?} {bidirectional:?}")
        });
        let said = scene.agent()?.said();
        let logged = said.chars().find(|&c| c.is_control() && c != '\n');
        verdict.expect(logged.is_none(), || format!("the log has {logged:?}"));
    }
    verdict.agent("escaped in `status` and in the log");
    scene.clear()?;
    Ok(verdict)
}
