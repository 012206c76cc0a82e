//! The cells of the tables.

use super::{
    cell::{Cell, Probe, Trigger},
    mode::Mode,
    spot::{
        GATEWAY, HOST, HOST_LINK_LOCAL, HOST_PRIVATE, IMPOSTOR, LOCAL, NS01, NS01_LINK_LOCAL,
        NS01_SECOND, NS02, NS02_DROPPED, NS02_LINK_LOCAL, NS03, NS04, NS05, NS07, NS09, NS10, NS11,
        NS12, NS13, NS14, NS16, NS17, PRIVATE1, PRIVATE2, Spot, UNNAMED, VEPA1, VEPA2, VM01,
        VM01_LINK_LOCAL, VM01_PRIVATE, VM01_VEPA,
    },
    variant::Variant,
};
use crate::family::Family;

/// The cells that show what `variant` does in `mode`.
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
    cells.push(Cell::new(VM01, NS09, Probe::Moved));
    cells.push(Cell::new(VM01, NS10, Probe::Deleted).refused());
    if mode == Mode::L3s {
        cells.push(Cell::new(VM01, NS02_DROPPED, Probe::InputRule).refused());
    }
    cells.extend(manners());
    let mut cells = in_both_families(cells);
    cells.extend(link_local());
    cells.extend(v6_manners(mode));
    cells.extend(impostor(mode, Probe::ImpostorReported));
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
        let left_out = matches!(cell.probe, Probe::Aging | Probe::ImpostorReported);
        shown && !left_out
    });
    few.extend(in_both_families([
        ping(VM01, LOCAL).seed("001"),
        Cell::new(VM01, LOCAL, Probe::Solicit),
        Cell::new(VM01, LOCAL, Probe::Tcp),
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

fn ping(from: Spot, to: Spot) -> Cell {
    Cell::new(from, to, Probe::Ping)
}

fn into_children() -> Vec<Cell> {
    vec![
        ping(VM01, NS01).seed("003"),
        ping(GATEWAY, NS01).seed("000"),
        ping(HOST, NS01).seed("001"),
        ping(VM01, NS02).seed("003"),
        ping(GATEWAY, NS02).seed("000"),
        ping(HOST, NS02).seed("001"),
        ping(VM01, NS03).seed("004"),
        ping(GATEWAY, NS03).seed("004"),
        ping(HOST, NS03).seed("004"),
        ping(VM01, NS04).seed("004"),
        ping(HOST, NS04).seed("004"),
        ping(VM01, NS01_SECOND).seed("002"),
        ping(HOST, NS01_SECOND).seed("002"),
        ping(VM01, NS05),
        ping(HOST, NS05),
        ping(VM01, UNNAMED),
        ping(HOST, UNNAMED),
        ping(VM01, NS07).refused(),
        ping(HOST, NS07).refused(),
    ]
}

fn out_of_children() -> Vec<Cell> {
    vec![
        ping(NS01, VM01).seed("000"),
        ping(NS01, GATEWAY).seed("003"),
        ping(NS01, HOST).seed("000"),
        ping(NS02, VM01).seed("001"),
        ping(NS02, GATEWAY).seed("002"),
        ping(NS02, HOST).seed("002"),
        ping(NS03, VM01).seed("004"),
        ping(NS03, GATEWAY).seed("004"),
        ping(NS03, HOST).seed("004"),
        ping(NS01_SECOND, VM01).seed("002"),
        ping(NS05, VM01),
        ping(NS05, HOST),
        ping(UNNAMED, VM01),
        ping(UNNAMED, HOST),
    ]
}

fn between_children() -> Vec<Cell> {
    vec![
        ping(NS01, NS02).seed("000"),
        ping(NS02, NS01).seed("003"),
        ping(NS03, NS04).seed("004"),
        ping(NS04, NS03).seed("004"),
        ping(NS01, NS03).seed("004"),
        ping(NS01, NS05),
        ping(NS01, UNNAMED),
    ]
}

fn neighbours(mode: Mode) -> Vec<Cell> {
    let mut cells = vec![
        Cell::new(VM01, NS01, Probe::Solicit).seed("003"),
        Cell::new(VM01, NS01, Probe::SolicitUnicast).seed("003"),
        Cell::new(VM01, NS01, Probe::SolicitProbe),
        Cell::new(GATEWAY, NS03, Probe::Solicit).seed("004"),
        Cell::new(VM01, NS07, Probe::Solicit).refused(),
        Cell::new(VM01, NS02, Probe::Aging).seed("003"),
        Cell::new(GATEWAY, NS02, Probe::Aging).seed("003"),
        Cell::new(HOST, NS02, Probe::Aging),
    ];
    if mode == Mode::L2 {
        cells.extend([
            Cell::new(NS01, HOST, Probe::Solicit).seed("001"),
            Cell::new(NS01, HOST, Probe::SolicitUnicast).seed("001"),
            Cell::new(UNNAMED, HOST, Probe::Aging),
        ]);
    }
    cells
}

fn load() -> impl Iterator<Item = Cell> {
    let pairs = [(VM01, NS01), (NS01, VM01), (HOST, NS01), (NS01, HOST)];
    pairs.into_iter().flat_map(|(from, to)| {
        [Probe::Tcp, Probe::UdpFragments].map(|probe| Cell::new(from, to, probe))
    })
}

fn isolation() -> Vec<Cell> {
    vec![
        ping(VM01_PRIVATE, PRIVATE1),
        ping(HOST_PRIVATE, PRIVATE1),
        ping(PRIVATE1, PRIVATE2).refused(),
        ping(VM01_VEPA, VEPA1),
        ping(VEPA1, VEPA2).refused(),
    ]
}

/// What IPv4 has no like of.
fn link_local() -> [Cell; 6] {
    [
        ping(VM01_LINK_LOCAL, NS01_LINK_LOCAL),
        ping(HOST_LINK_LOCAL, NS01_LINK_LOCAL),
        Cell::new(VM01_LINK_LOCAL, NS01_LINK_LOCAL, Probe::Solicit),
        ping(NS01_LINK_LOCAL, VM01_LINK_LOCAL),
        ping(NS01_LINK_LOCAL, HOST_LINK_LOCAL),
        ping(NS01_LINK_LOCAL, NS02_LINK_LOCAL),
    ]
    .map(Cell::v6)
}

/// What a machine of the LAN may expect of any other.
fn manners() -> [Cell; 8] {
    let announced = |from, to, trigger| Cell::new(from, to, Probe::Announced(trigger));
    [
        Cell::new(VM01, NS11, Probe::DuplicateSeen),
        Cell::new(VM01, NS12, Probe::Claimed),
        announced(VM01_VEPA, VEPA2, Trigger::Start),
        announced(VM01, NS13, Trigger::Appears),
        announced(VM01, NS16, Trigger::Moves),
        announced(VM01, NS17, Trigger::ChildUp),
        announced(VM01_VEPA, VEPA2, Trigger::ParentUp),
        announced(VM01, NS01, Trigger::MacChange),
    ]
}

/// The part of it that is IPv6's own.
fn v6_manners(mode: Mode) -> Vec<Cell> {
    let from_child = Cell::new(NS01, GATEWAY, Probe::Rdisc6).v6();
    let mut cells = vec![
        Cell::new(VM01, NS01, Probe::Ndisc6).v6(),
        Cell::new(VM01, NS03, Probe::Ndisc6).v6(),
        Cell::new(HOST, GATEWAY, Probe::Rdisc6).v6(),
    ];
    match mode {
        Mode::L2 => cells.push(from_child),
        Mode::L3 | Mode::L3s => {
            // `ipvlan_process_outbound` drops multicast of l3 children: no solicitation leaves one.
            cells.push(from_child.refused());
            cells.push(Cell::new(HOST, NS14, Probe::Group).v6());
        }
    }
    cells
}

/// A child with the address of vm01.
fn impostor(mode: Mode, probe: Probe) -> Vec<Cell> {
    let mut cells = in_both_families([Cell::new(GATEWAY, IMPOSTOR, probe)]);
    if mode == Mode::L2 {
        match probe {
            // The child's own kernel asks for its IPv6 addresses and gives this one up.
            Probe::ImpostorReported => cells.retain(|cell| cell.family == Family::V4),
            // The child's own kernel answers ARP for whatever it was given.
            _ => cells[0] = cells[0].refused(),
        }
    }
    cells
}

/// With `--dad enforce`.
fn enforced(mode: Mode) -> Vec<Cell> {
    let mut cells = impostor(mode, Probe::ImpostorReported);
    cells.extend(impostor(mode, Probe::ImpostorSilent));
    cells
}

/// With `--announce off`.
fn silent() -> Vec<Cell> {
    let announced = |to, trigger| Cell::new(VM01, to, Probe::Announced(trigger)).refused();
    in_both_families([
        ping(VM01, NS01),
        announced(NS13, Trigger::Appears),
        announced(NS01, Trigger::MacChange),
    ])
}

/// With `--allow` of every prefix: the host reaches children in subnets of their own directly, and not by way
/// of the gateway.
fn own_subnets() -> Vec<Cell> {
    let pairs = [
        (VM01, NS03),
        (HOST, NS03),
        (HOST, NS04),
        (NS03, HOST),
        (NS01, NS03),
    ];
    in_both_families(pairs.map(|(from, to)| ping(from, to).seed("004")))
}

/// With a configuration file that changes which addresses are answered for.
fn reloaded() -> Vec<Cell> {
    in_both_families([Cell::new(VM01, NS01, Probe::Reloaded)])
}

/// With `--allow` of the LAN's subnets and `--deny` of [`NS02`].
fn narrowed() -> Vec<Cell> {
    let solicit = |to| Cell::new(VM01, to, Probe::Solicit);
    in_both_families([
        solicit(NS01),
        solicit(NS02).refused(),
        solicit(NS03).refused(),
    ])
}
