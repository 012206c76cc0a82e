//! `ipvlan children`

use std::net::IpAddr;

use super::{
    Outcome, agents, json,
    netns::{self, netns},
    screen::{self, Rows, Screen, ago, now_ms},
};
use crate::{
    cli::{ChildrenArgs, ChildrenCommand, ChildrenListArgs, Format, ParentArgs},
    exit::Failure,
    protocol::{Address, Child, Children, Line, SCHEMA, ShownChild},
    text::printable,
};

/// Shortest beginning of an id by which a container is found, in characters.
const SHORTEST_ID: usize = 4;

/// What to do if there is no such child.
pub(super) const SEE_CHILDREN: &str = "`ipvlan children` lists the children; a name can be that of the link, the netns or the container";

/// The requested child is none of those that are served.
#[derive(Debug, thiserror::Error)]
#[error("no child has the name or the address `{}`", printable(.0))]
pub struct ChildrenError(String);

impl ChildrenError {
    /// Returns what the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        SEE_CHILDREN
    }
}

/// Shows the children of running agents.
pub fn children(args: ChildrenArgs) -> Result<Outcome, Failure> {
    let ChildrenArgs { command, list } = args;
    match command {
        None => show(list, None),
        Some(ChildrenCommand::List(list)) => show(list, None),
        Some(ChildrenCommand::Show { child, list }) => show(list, Some(child)),
    }
}

fn show(args: ChildrenListArgs, wanted: Option<String>) -> Result<Outcome, Failure> {
    let ChildrenListArgs {
        output,
        family,
        brief,
        fresh,
        of: ParentArgs { iface, find },
    } = args;
    let mut asked = agents::status(find, fresh)?;
    let runs = !asked.answers.is_empty();
    let missing = asked.select(&iface);
    let mut children = Vec::new();
    for (pid, agent) in &mut asked.answers {
        for parent in &mut agent.parents {
            let of_parent = parent.children.drain(..).map(|child| ShownChild {
                agent: *pid,
                parent: parent.name.clone(),
                child,
            });
            children.extend(of_parent);
        }
    }
    if let Some(wanted) = &wanted {
        children.retain(|of| is_called(&of.child, wanted));
        if children.is_empty() && runs {
            asked.check()?;
            return Err(ChildrenError(wanted.clone()).into());
        }
    }
    for of in &mut children {
        of.child.addresses.retain(|of| family.has(&of.address));
    }
    match output.format() {
        Format::Json => json::print(&Children {
            schema: SCHEMA,
            children,
        })?,
        Format::Jsonl => {
            json::print_lines(&children.into_iter().map(Line::from).collect::<Vec<_>>())?;
        }
        Format::Table => {
            let body = match (wanted, brief) {
                (Some(_), false) => details(&children),
                (_, true) => render_brief(&children),
                (None, false) => list(&children),
            };
            let text = asked.text(runs, &body, &missing);
            screen::print(&text, output.color)?;
        }
    }
    asked.check()?;
    Ok(Outcome::of(runs && missing.is_empty()))
}

/// Returns whether this is the name of a child, of its netns, or one of its addresses.
fn is_called(child: &Child, wanted: &str) -> bool {
    if let Ok(address) = wanted.parse::<IpAddr>() {
        let addresses = child.addresses.iter();
        let mut addresses = addresses.filter_map(|of| of.address.split('/').next()?.parse().ok());
        return addresses.any(|of: IpAddr| of == address);
    }
    let container = child.netns.container.as_ref();
    let ids = container.and_then(|of| of.id.as_deref());
    let names = container
        .into_iter()
        .flat_map(|of| [&of.name, &of.pod, &of.pod_uid]);
    let names = names
        .flatten()
        .chain(&child.label)
        .chain(&child.netns.names);
    child.name == wanted
        || names.chain([&netns(&child.netns)]).any(|of| of == wanted)
        || wanted.len() >= SHORTEST_ID && ids.is_some_and(|id| id.starts_with(wanted))
}

/// Renders children as a table with a row for each address.
fn list(children: &[ShownChild]) -> String {
    let mut screen = Screen::default();
    let mut rows = Rows::new([
        "PARENT", "CHILD", "NETNS", "MODE", "ADDRESS", "STATE", "ANSWERED", "ASKED", "REFUSED",
        "RX", "TX",
    ]);
    let now = now_ms();
    for ShownChild { parent, child, .. } in children {
        for (index, [name, netns, address, state, answered, _, refused, rx, tx]) in
            child_rows(child).into_iter().enumerate()
        {
            let once = |text: String| if index == 0 { text } else { String::new() };
            let (parent, mode) = (once(parent.clone()), once(child.mode.to_string()));
            let asked = once(asked(child, now));
            rows.add(&[
                parent, name, netns, mode, address, state, answered, asked, refused, rx, tx,
            ]);
        }
    }
    screen.plain_table(&rows);
    screen.into_text()
}

/// Renders a line for each child.
fn render_brief(children: &[ShownChild]) -> String {
    let mut screen = Screen::default();
    let mut rows = Rows::new(["PARENT", "CHILD", "NETNS", "STATE", "ADDRESSES"]);
    for ShownChild { parent, child, .. } in children {
        let addresses: Vec<_> = child.addresses.iter().map(|of| &*of.address).collect();
        rows.add(&[
            parent.clone(),
            child.name.clone(),
            netns::of_child(child),
            child.state.to_string(),
            addresses.join(" "),
        ]);
    }
    screen.plain_table(&rows);
    screen.into_text()
}

/// Renders everything about children, a line for each property.
pub(super) fn details(children: &[ShownChild]) -> String {
    let mut screen = Screen::default();
    for (index, of) in children.iter().enumerate() {
        if index > 0 {
            screen.line("");
        }
        let ShownChild {
            agent,
            parent,
            child,
        } = of;
        let reason = child.reason.as_ref().map(|reason| format!(" ({reason})"));
        screen.line(&format!(
            "{}: {}{}",
            child.name,
            child.state,
            reason.unwrap_or_default()
        ));
        let mut property = |key: &str, value: &str| screen.line(&format!("  {key:<10} {value}"));
        property("netns", &netns::of_child(child));
        let container = child.netns.container.as_ref();
        if let Some(id) = container.and_then(|of| of.id.as_ref()) {
            property("id", id);
        }
        if let Some(inode) = child.netns.inode {
            property("inode", &inode.to_string());
        }
        if let Some(pid) = child.netns.pid {
            property("pid", &pid.to_string());
        }
        property("parent", &format!("{parent} (agent {agent})"));
        property("kind", &format!("ipvlan {}", child.mode));
        property(
            "link",
            &format!(
                "ifindex {}, {}",
                child.ifindex,
                if child.up { "up" } else { "down" }
            ),
        );
        property("delivery", &child.delivery.to_string());
        if child.forwarding {
            property("forwards", "IPv6");
        }
        if let Some(rule) = &child.rule {
            property("rule", rule);
        }
        for address in &child.addresses {
            let peer = address.peer.as_ref().map(|peer| format!(" peer {peer}"));
            let peer = peer.unwrap_or_default();
            property(
                "address",
                &format!("{}{peer}  {}", address.address, state(address)),
            );
        }
        let counters = &child.counters;
        property(
            "frames",
            &format!(
                "{} answered, {} hairpinned, {} redirected, {} refused",
                counters.answered, counters.hairpinned, counters.redirected, counters.refused
            ),
        );
        property("asked", &asked(child, now_ms()));
        let link = &child.link;
        property(
            "rx",
            &format!("{} packets, {} bytes", link.rx_packets, link.rx_bytes),
        );
        property(
            "tx",
            &format!("{} packets, {} bytes", link.tx_packets, link.tx_bytes),
        );
    }
    screen.into_text()
}

/// Returns the table of the children of one parent.
pub(super) fn table(children: &[Child]) -> Rows {
    let mut rows = Rows::new([
        "CHILD",
        "NETNS",
        "ADDRESS",
        "STATE",
        "ANSWERED",
        "HAIRPINNED",
        "REFUSED",
        "RX",
        "TX",
    ]);
    for row in children.iter().flat_map(child_rows) {
        rows.add(&row);
    }
    rows
}

/// Returns when a request was last answered for a child.
fn asked(child: &Child, now_ms: u64) -> String {
    let ago = child.asked_ms.map(|at| ago(now_ms.saturating_sub(at)));
    ago.unwrap_or_else(|| "never".to_owned())
}

/// Returns the state of an address with its reason.
fn state(address: &Address) -> String {
    match &address.reason {
        // `probing` is both.
        Some(reason) if *reason != address.state.to_string() => {
            format!("{}: {reason}", address.state)
        }
        _ => address.state.to_string(),
    }
}

/// Returns a row for each address; the columns of the child are in the first.
fn child_rows(child: &Child) -> Vec<[String; 9]> {
    let mut rows: Vec<[String; 9]> = child
        .addresses
        .iter()
        .map(|address| {
            let mut row = <[String; 9]>::default();
            row[2].clone_from(&address.address);
            row[3] = state(address);
            row
        })
        .collect();
    if rows.is_empty() {
        let mut row = <[String; 9]>::default();
        "-".clone_into(&mut row[2]);
        row[3] = child.state.to_string();
        rows.push(row);
    }
    rows[0][0].clone_from(&child.name);
    rows[0][1] = netns::of_child(child);
    rows[0][4] = child.counters.answered.to_string();
    rows[0][5] = child.counters.hairpinned.to_string();
    rows[0][6] = child.counters.refused.to_string();
    rows[0][7] = child.link.rx_packets.to_string();
    rows[0][8] = child.link.tx_packets.to_string();
    rows
}
