//! Log lines of the agent, as its operator reads them.

use anyhow::Result;

use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, HOST},
        stage::Plan,
    },
    rows::{
        row::{Kind, Row, Verdict},
        scene::{self, Scene},
    },
};

pub(super) const ROWS: &[Row] = &[Row::new(
    "C08",
    Kind::Gap,
    "an agent starts, and a child takes the host's address: what the log says",
    "`ready` has the number of answered addresses; the child is named as `status` names it",
    lines,
)
.on_any_kernel()];

fn lines(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    scene.start(&[])?;
    let said = scene.agent()?.said();
    let ready: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("ready: "))
        .collect();
    // One of the four children is down; each other has an address of both families, and a link-local one that may still
    // be tentative.
    let answered = match ready[..] {
        [line] => line.rsplit_once("; 4 children, ").and_then(|(_, counted)| {
            let number = counted.strip_suffix(" addresses answered")?;
            number.parse::<u32>().ok()
        }),
        _ => None,
    };
    let is_right = answered.is_some_and(|answered| (6..=9).contains(&answered));
    verdict.expect(is_right, || format!("the agent is ready: {ready:?}"));
    let filled = said.find("addresses changed");
    let in_order = filled.is_some_and(|at| said.find("ready: ").is_some_and(|ready| at < ready));
    verdict.expect(in_order, || {
        format!("`ready` comes before the addresses: {said}")
    });

    scene::add(&scene.site.third, CHILD, HOST.v4.into())?;
    scene.wait_parent("the conflict is reported", |parent| {
        parent["conflicts"]
            .to_string()
            .contains(&HOST.v4.to_string())
    })?;
    let parent = scene.parent()?;
    let netns = parent["conflicts"][0]["netns"]["names"][0].clone();
    let name = netns
        .as_str()
        .and_then(|name| name.rsplit('/').next())
        .unwrap_or("?");
    let says = format!(" of {}, child {CHILD} in netns {name}: ", HOST.v4);
    let said = scene.agent()?.said();
    verdict.expect(said.contains(&says), || {
        format!("no line has {says:?}: {said}")
    });
    let shown = scene.status_text()?;
    let has_row = shown.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(CHILD) && words.next() == Some(name)
    });
    verdict.expect(has_row, || {
        format!("`status` does not name it {name}: {shown}")
    });
    verdict.agent("`ready` with the number of addresses; the log names netns as `status` does");
    Ok(verdict)
}
