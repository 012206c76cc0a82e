//! The cells of the tables.

use super::{
    cell::{Cell, Probe, Round, Trigger},
    mode::Mode,
    spot::{
        GATEWAY, HOST, HOST_LINK_LOCAL, HOST_PRIVATE, IMPOSTOR, LOCAL, NS01, NS01_LINK_LOCAL,
        NS01_SECOND, NS02, NS02_DROPPED, NS02_LINK_LOCAL, NS03, NS04, NS05, NS07, NS09, NS10, NS11,
        NS12, NS13, NS14, NS16, NS17, PRIVATE1, PRIVATE2, UNNAMED, VEPA1, VEPA2, VM01,
        VM01_LINK_LOCAL, VM01_PRIVATE, VM01_VEPA,
    },
    variant::Variant,
};
use crate::family::Family;

/// The cells that show what `variant` does in `mode`.
#[must_use]
pub fn of(variant: Variant, mode: Mode) -> Vec<Cell> {
    match variant {
        Variant::Default => cells(mode),
        Variant::Flood | Variant::Xdp | Variant::Redirect => few(mode),
        Variant::Enforce => enforced(mode),
        Variant::Silent => silent(),
        Variant::Allowed => own_subnets(),
        Variant::Narrow => narrowed(),
        Variant::Reloaded => reloaded(),
    }
}

/// Every cell of the table of `mode`.
fn cells(mode: Mode) -> Vec<Cell> {
    let mut cells = Vec::new();
    cells.extend(into_children());
    cells.extend(out_of_children());
    cells.extend(between_children());
    cells.extend(neighbours(mode));
    cells.extend(load());
    cells.extend(isolation());
    cells.extend(changes());
    if mode == Mode::L3s {
        cells.push(Cell::new(VM01, NS02_DROPPED, Probe::InputRule, None, Round::Change).refused());
    }
    cells.extend(manners());
    let mut cells = in_both_families(cells);
    cells.extend(link_local());
    cells.extend(v6_manners(mode));
    cells.extend(impostor(mode, Probe::ImpostorTold));
    cells
}

/// The cells for options that change how packets are answered and carried, with a child in the
/// host's own netns on top.
fn few(mode: Mode) -> Vec<Cell> {
    let mut few = cells(mode);
    few.retain(|cell| {
        let shown = [cell.from.netns, cell.to.netns]
            .iter()
            .all(|netns| !["ns02", "ns04", "ns05", "ns09", "gateway"].contains(netns));
        let left_out = matches!(cell.probe, Probe::Aging | Probe::ImpostorTold);
        shown && !left_out
    });
    few.extend(in_both_families([
        Cell::new(VM01, LOCAL, Probe::Ping, Some("001"), Round::Into),
        Cell::new(VM01, LOCAL, Probe::Solicit, None, Round::Into),
        Cell::new(VM01, LOCAL, Probe::Tcp, None, Round::Load),
    ]));
    few
}

/// Each of `cells`, then its twin of the other family.
fn in_both_families(cells: impl IntoIterator<Item = Cell>) -> Vec<Cell> {
    cells
        .into_iter()
        .flat_map(|cell| [cell, cell.twin()])
        .collect()
}

fn into_children() -> Vec<Cell> {
    let ping = |from, to, seed| Cell::new(from, to, Probe::Ping, seed, Round::Into);
    vec![
        ping(VM01, NS01, Some("003")),
        ping(GATEWAY, NS01, Some("000")),
        ping(HOST, NS01, Some("001")),
        ping(VM01, NS02, Some("003")),
        ping(GATEWAY, NS02, Some("000")),
        ping(HOST, NS02, Some("001")),
        ping(VM01, NS03, Some("004")),
        ping(GATEWAY, NS03, Some("004")),
        ping(HOST, NS03, Some("004")),
        ping(VM01, NS04, Some("004")),
        ping(HOST, NS04, Some("004")),
        ping(VM01, NS01_SECOND, Some("002")),
        ping(HOST, NS01_SECOND, Some("002")),
        ping(VM01, NS05, None),
        ping(HOST, NS05, None),
        ping(VM01, UNNAMED, None),
        ping(HOST, UNNAMED, None),
        ping(VM01, NS07, None).refused(),
        ping(HOST, NS07, None).refused(),
    ]
}

fn out_of_children() -> Vec<Cell> {
    let ping = |from, to, seed| Cell::new(from, to, Probe::Ping, seed, Round::OutOf);
    vec![
        ping(NS01, VM01, Some("000")),
        ping(NS01, GATEWAY, Some("003")),
        ping(NS01, HOST, Some("000")),
        ping(NS02, VM01, Some("001")),
        ping(NS02, GATEWAY, Some("002")),
        ping(NS02, HOST, Some("002")),
        ping(NS03, VM01, Some("004")),
        ping(NS03, GATEWAY, Some("004")),
        ping(NS03, HOST, Some("004")),
        ping(NS01_SECOND, VM01, Some("002")),
        ping(NS05, VM01, None),
        ping(NS05, HOST, None),
        ping(UNNAMED, VM01, None),
        ping(UNNAMED, HOST, None),
    ]
}

fn between_children() -> Vec<Cell> {
    let ping = |from, to, seed| Cell::new(from, to, Probe::Ping, seed, Round::OutOf);
    vec![
        ping(NS01, NS02, Some("000")),
        ping(NS02, NS01, Some("003")),
        ping(NS03, NS04, Some("004")),
        ping(NS04, NS03, Some("004")),
        ping(NS01, NS03, Some("004")),
        ping(NS01, NS05, None),
        ping(NS01, UNNAMED, None),
    ]
}

fn neighbours(mode: Mode) -> Vec<Cell> {
    let mut cells = vec![
        Cell::new(VM01, NS01, Probe::Solicit, Some("003"), Round::Into),
        Cell::new(VM01, NS01, Probe::SolicitUnicast, Some("003"), Round::Into),
        Cell::new(VM01, NS01, Probe::SolicitProbe, None, Round::Into),
        Cell::new(GATEWAY, NS03, Probe::Solicit, Some("004"), Round::Into),
        Cell::new(VM01, NS07, Probe::Solicit, None, Round::Into).refused(),
        Cell::new(VM01, NS02, Probe::Aging, Some("003"), Round::Load),
        Cell::new(GATEWAY, NS02, Probe::Aging, Some("003"), Round::Load),
        Cell::new(HOST, NS02, Probe::Aging, None, Round::Load),
    ];
    if mode == Mode::L2 {
        cells.push(Cell::new(
            NS01,
            HOST,
            Probe::Solicit,
            Some("001"),
            Round::OutOf,
        ));
        cells.push(Cell::new(
            NS01,
            HOST,
            Probe::SolicitUnicast,
            Some("001"),
            Round::OutOf,
        ));
        cells.push(Cell::new(UNNAMED, HOST, Probe::Aging, None, Round::Load));
    }
    cells
}

fn load() -> Vec<Cell> {
    let pairs = [(VM01, NS01), (NS01, VM01), (HOST, NS01), (NS01, HOST)];
    pairs
        .into_iter()
        .flat_map(|(from, to)| {
            [Probe::Tcp, Probe::UdpFragments]
                .map(|probe| Cell::new(from, to, probe, None, Round::Load))
        })
        .collect()
}

fn isolation() -> Vec<Cell> {
    let ping = |from, to, round| Cell::new(from, to, Probe::Ping, None, round);
    vec![
        ping(VM01_PRIVATE, PRIVATE1, Round::Into),
        ping(HOST_PRIVATE, PRIVATE1, Round::Into),
        ping(PRIVATE1, PRIVATE2, Round::OutOf).refused(),
        ping(VM01_VEPA, VEPA1, Round::Into),
        ping(VEPA1, VEPA2, Round::OutOf).refused(),
    ]
}

fn changes() -> Vec<Cell> {
    vec![
        Cell::new(VM01, NS09, Probe::Moved, None, Round::Change),
        Cell::new(VM01, NS10, Probe::Deleted, None, Round::Change).refused(),
    ]
}

/// What IPv4 has no like of.
fn link_local() -> Vec<Cell> {
    let v6 = |from, to, probe, round| Cell {
        family: Family::V6,
        ..Cell::new(from, to, probe, None, round)
    };
    vec![
        v6(VM01_LINK_LOCAL, NS01_LINK_LOCAL, Probe::Ping, Round::Into),
        v6(HOST_LINK_LOCAL, NS01_LINK_LOCAL, Probe::Ping, Round::Into),
        v6(
            VM01_LINK_LOCAL,
            NS01_LINK_LOCAL,
            Probe::Solicit,
            Round::Into,
        ),
        v6(NS01_LINK_LOCAL, VM01_LINK_LOCAL, Probe::Ping, Round::OutOf),
        v6(NS01_LINK_LOCAL, HOST_LINK_LOCAL, Probe::Ping, Round::OutOf),
        v6(NS01_LINK_LOCAL, NS02_LINK_LOCAL, Probe::Ping, Round::OutOf),
    ]
}

/// What a machine of the LAN may expect of any other.
fn manners() -> Vec<Cell> {
    let announced = |to, trigger, round| {
        let from = if to == VEPA2 { VM01_VEPA } else { VM01 };
        Cell::new(from, to, Probe::Announced(trigger), None, round)
    };
    vec![
        Cell::new(VM01, NS11, Probe::DuplicateSeen, None, Round::Change),
        Cell::new(VM01, NS12, Probe::Claimed, None, Round::Change),
        announced(VEPA2, Trigger::Start, Round::Into),
        announced(NS13, Trigger::Appears, Round::Change),
        announced(NS16, Trigger::Moves, Round::Change),
        announced(NS17, Trigger::ChildUp, Round::Change),
        announced(VEPA2, Trigger::ParentUp, Round::Alone),
        announced(NS01, Trigger::MacChange, Round::Alone),
    ]
}

/// The part of it that is IPv6's own.
fn v6_manners(mode: Mode) -> Vec<Cell> {
    let v6 = |from, to, probe| Cell {
        family: Family::V6,
        ..Cell::new(from, to, probe, None, Round::Change)
    };
    let mut cells = vec![
        v6(VM01, NS01, Probe::Ndisc6),
        v6(VM01, NS03, Probe::Ndisc6),
        v6(HOST, GATEWAY, Probe::Rdisc6),
    ];
    let from_child = v6(NS01, GATEWAY, Probe::Rdisc6);
    match mode {
        Mode::L2 => cells.push(from_child),
        Mode::L3 | Mode::L3s => {
            // `ipvlan_process_outbound` drops multicast of l3 children: no solicitation leaves one.
            cells.push(from_child.refused());
            cells.push(v6(HOST, NS14, Probe::Group));
        }
    }
    cells
}

/// A child with the address of vm01.
fn impostor(mode: Mode, probe: Probe) -> Vec<Cell> {
    let cell = Cell::new(GATEWAY, IMPOSTOR, probe, None, Round::Alone);
    let mut cells = vec![cell, cell.twin()];
    if mode == Mode::L2 {
        match probe {
            // The child's own kernel asks for its IPv6 addresses and gives this one up.
            Probe::ImpostorTold => cells.retain(|cell| cell.family == Family::V4),
            // The child's own kernel answers ARP for whatever it was given.
            _ => cells[0] = cells[0].refused(),
        }
    }
    cells
}

/// With `--dad enforce`.
fn enforced(mode: Mode) -> Vec<Cell> {
    let mut cells = impostor(mode, Probe::ImpostorTold);
    cells.extend(impostor(mode, Probe::ImpostorSilent));
    cells
}

/// With `--announce off`.
fn silent() -> Vec<Cell> {
    let announced =
        |to, trigger, round| Cell::new(VM01, to, Probe::Announced(trigger), None, round).refused();
    in_both_families([
        Cell::new(VM01, NS01, Probe::Ping, None, Round::Into),
        announced(NS13, Trigger::Appears, Round::Change),
        announced(NS01, Trigger::MacChange, Round::Alone),
    ])
}

/// With `--allow` of every prefix: the host reaches children in subnets of their own directly, and not by way
/// of the gateway.
fn own_subnets() -> Vec<Cell> {
    let ping = |from, to, round| Cell::new(from, to, Probe::Ping, Some("004"), round);
    in_both_families([
        ping(VM01, NS03, Round::Into),
        ping(HOST, NS03, Round::Into),
        ping(HOST, NS04, Round::Into),
        ping(NS03, HOST, Round::OutOf),
        ping(NS01, NS03, Round::OutOf),
    ])
}

/// With `--allow` of the LAN's subnets and `--deny` of [`NS02`].
fn reloaded() -> Vec<Cell> {
    in_both_families([Cell::new(VM01, NS01, Probe::Reloaded, None, Round::Alone)])
}

fn narrowed() -> Vec<Cell> {
    let solicit = |to| Cell::new(VM01, to, Probe::Solicit, None, Round::Into);
    in_both_families([
        solicit(NS01),
        solicit(NS02).refused(),
        solicit(NS03).refused(),
    ])
}
