//! Log lines of the agent, as its operator reads them.

use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[Row::new(
    "C08",
    Kind::Gap,
    "an agent starts, and a child takes the host's address: what the log says",
    "`ready` has the number of answered addresses; the child is named as `status` names it",
    Run::Started(L3, lines),
)
.on_any_kernel()];

fn lines(scene: &mut Scene) -> Result<()> {
    let log = scene.agent()?.said();
    let ready: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("ready: "))
        .collect();
    // One of the four children is down; each other has an address of both families, and a link-local one that may still
    // be tentative.
    let counted = ready.first().and_then(|line| {
        let (_, counted) = line.rsplit_once("; 4 children, ")?;
        let number = counted.strip_suffix(" addresses answered")?;
        number.parse::<u32>().ok()
    });
    let is_right = counted.is_some_and(|answered| (6..=9).contains(&answered));
    scene.expect(is_right && ready.len() == 1, || {
        format!("the agent is ready: {ready:?}")
    });
    let filled = log.find("addresses changed");
    let in_order = filled.is_some_and(|at| log.find("ready: ").is_some_and(|ready| at < ready));
    scene.expect_eq("`ready` is after the addresses", in_order, true);

    let address = HOST.v4.into();
    scene.take([address])?;
    scene.wait_parent("the conflict is reported", |parent| {
        parent.conflicts.iter().any(|it| it.address == address)
    })?;
    let parent = scene.parent()?;
    let name = parent.conflicts[0].netns.names.first();
    let name = name.and_then(|name| name.rsplit('/').next()).unwrap_or("?");
    let line = format!(" of {address}, child {CHILD} in netns {name}: ");
    let log = scene.agent()?.said();
    scene.expect_has("the log", &log, &line);
    let shown = scene.status_text()?;
    let is_row = |line: &str| {
        let mut words = line.split_whitespace();
        words.next() == Some(CHILD) && words.next() == Some(name)
    };
    scene.expect(shown.lines().any(is_row), || {
        format!("`status` does not name it {name}: {shown}")
    });
    Ok(())
}
