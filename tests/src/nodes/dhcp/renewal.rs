//! Clients of real nodes beside each other: lease, renewal by the server's address, rebinding by broadcast.

use std::collections::HashSet;

use ipvlan_packet::{
    BROADCAST,
    dhcp::{DISCOVER, REQUEST},
};

use super::{
    NO_OFFER, SENT,
    clients::{PROGRAMS, Program, address, dhclient, wait_for_address},
    counted,
    process::{LEASE, Process, Server},
    wire::{Seen, Wire},
};
use crate::rows::prelude::*;

/// The time within which every client has started, on an emulated processor.
const STARTED: Duration = Duration::from_secs(30);

/// A client, its netns and its lease.
struct Leased {
    program: &'static Program,
    process: Process,
    place: usize,
    address: Ipv4Addr,
}

impl Leased {
    /// Returns whether one of these requests extends the lease, by unicast or by broadcast.
    fn extends(&self, seen: &[Seen], by_unicast: bool) -> bool {
        seen.iter().any(|it| {
            is_of(it, self.program)
                && it.kind == REQUEST
                && it.ciaddr == self.address
                && (it.to != BROADCAST) == by_unicast
        })
    }

    /// Returns whether one of these requests renews the lease.
    fn renews(&self, seen: &[Seen]) -> bool {
        self.extends(seen, self.program.renews_by_unicast)
    }
}

pub(super) fn of_real_clients(scene: &mut Scene) -> Result<()> {
    let mut places = Vec::new();
    for program in &PROGRAMS {
        let place = if program.makes_child {
            scene.add_netns(program.name)?
        } else {
            scene.add_netns_with_child(program.name)?
        };
        places.push((program, place));
    }
    let server = Server::dhcpd(&scene.vm01)?;
    let wire = Wire::open(&scene.vm01)?;
    alone(scene, &places, &wire)?;

    scene.start(&[])?;
    let mut leased = Vec::new();
    for (process, (program, place)) in start(scene, &places)?.into_iter().zip(places) {
        let found = wait_for_address(&scene.others[place], STARTED)?;
        let address = found.with_context(|| {
            let (name, log, server) = (program.name, process.log(), server.log());
            format!("no lease of {name}: {log}; the server: {server}")
        })?;
        leased.push(Leased {
            program,
            process,
            place,
            address,
        });
    }
    let addresses: HashSet<_> = leased.iter().map(|leased| leased.address).collect();
    scene.expect_eq("different addresses", addresses.len(), leased.len());
    scene.expect_answered(addresses.iter().copied().map(IpAddr::V4))?;
    // A DHCPDISCOVER and a DHCPREQUEST of each.
    let least = 2 * addresses.len() as u64;
    scene.expect_least(
        "requests with the flag",
        counted(scene, "dhcp_broadcast")?,
        least,
    );
    let shared = counted(scene, "dhcp_no_client_id")?;
    scene.expect_eq("requests without an identifier", shared, 0);
    keep(scene, &leased, &wire, &server)?;
    scene.with_agent("an address each, renewed and rebound");

    let first = leased.swap_remove(0);
    drop(first.process);
    unidentified(scene, first.place)
}

fn start(scene: &Scene, places: &[(&Program, usize)]) -> Result<Vec<Process>> {
    let start =
        |&(program, place): &(&Program, _)| program.start(&scene.host, &scene.others[place]);
    places.iter().map(start).collect()
}

/// Without the agent each of them sends DHCPDISCOVER, and none gets an offer.
fn alone(scene: &Scene, places: &[(&Program, usize)], wire: &Wire) -> Result<()> {
    let processes = start(scene, places)?;
    let deadline = Instant::now() + STARTED;
    let mut silent: Vec<_> = PROGRAMS.iter().collect();
    while !silent.is_empty() && Instant::now() < deadline {
        let seen = wire.requests(SENT)?;
        silent.retain(|program| !seen.iter().any(|seen| is_of(seen, program)));
    }
    ensure!(
        silent.is_empty(),
        "no DHCPDISCOVER of {silent:?}: {:?}",
        processes.iter().map(Process::log).collect::<Vec<_>>()
    );
    thread::sleep(NO_OFFER);
    let mut offered = Vec::new();
    for (program, place) in places {
        if address(&scene.others[*place])?.is_some() {
            offered.push(program.name);
        }
    }
    scene.alone(if offered.is_empty() {
        "no offer".to_owned()
    } else {
        format!("a lease of {}", offered.join(", "))
    });
    Ok(())
}

fn is_of(seen: &Seen, program: &Program) -> bool {
    let name = program.name.as_bytes();
    let mut windows = seen.client_id.windows(name.len());
    windows.any(|window| window == name)
}

/// Each renews its lease once; then the server cannot be reached by unicast, and each rebinds. None starts anew or
/// loses its address.
fn keep(scene: &Scene, leased: &[Leased], wire: &Wire, server: &Server) -> Result<()> {
    // What was sent for the leases.
    wire.requests(Duration::ZERO)?;
    let mut seen = Vec::new();
    let deadline = Instant::now() + LEASE;
    while !leased.iter().all(|leased| leased.renews(&seen)) && Instant::now() < deadline {
        seen.extend(wire.requests(SENT)?);
    }
    let unreachable = Instant::now();
    for leased in leased {
        scene.others[leased.place].ip(&format!(
            "route replace {}/32 via {} dev {CHILD}\n",
            VM01.v4, UNOWNED.v4
        ))?;
    }
    // The last lease that a renewal brought is over then.
    let mut rebinding = Vec::new();
    while unreachable.elapsed() < LEASE + SENT {
        rebinding.extend(wire.requests(SENT)?);
    }
    for client in leased {
        let (program, log) = (client.program, || client.process.log());
        scene.case(program.name);
        scene.expect(client.renews(&seen), || format!("did not renew: {}", log()));
        let rebinds = client.extends(&rebinding, false);
        scene.expect(rebinds, || format!("did not rebind: {}", log()));
        let mut all = seen.iter().chain(&rebinding);
        let anew = all.any(|it| is_of(it, program) && it.kind == DISCOVER);
        scene.expect(!anew, || {
            format!("began anew: {}; the server: {}", log(), server.log())
        });
        let last = address(&scene.others[client.place])?;
        scene.expect(last == Some(client.address), || {
            format!("had {}, has {last:?}: {}", client.address, log())
        });
    }
    let all = seen.iter().chain(&rebinding);
    let changed = all.filter(|it| it.broadcast || !(it.summed || it.left_to_card));
    scene.expect_none("changed", changed);
    Ok(())
}

/// `dhclient` sends no identifier unless it is configured.
fn unidentified(scene: &Scene, place: usize) -> Result<()> {
    let netns = &scene.others[place];
    netns.ip(&format!("addr flush dev {CHILD}\n"))?;
    let _process = dhclient(netns, "-4", "")?;
    let found = wait_for_address(netns, STARTED)?;
    scene.expect(found.is_some(), || "dhclient: no lease".to_owned());
    let count = counted(scene, "dhcp_no_client_id")?;
    scene.expect_least("requests without an identifier", count, 2);
    scene.with_agent("dhclient without an identifier is counted");
    Ok(())
}
