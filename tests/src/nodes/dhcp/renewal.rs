//! Clients of real nodes beside each other: lease, renewal by the server's address, rebinding by broadcast.

use std::{collections::HashSet, net::Ipv4Addr};

use ipvlan_packet::{
    BROADCAST,
    dhcp::{DISCOVER, REQUEST},
};

use super::{
    NO_OFFER, SENT, child,
    clients::{Client, Program, address, wait_for_address},
    counted,
    process::{LEASE, Server},
    wire::{Seen, Wire},
};
use crate::rows::prelude::*;

/// The time within which every client has started, on an emulated processor.
const STARTED: Duration = Duration::from_secs(30);

/// A client, its netns and its lease.
struct Leased {
    client: Client,
    place: usize,
    address: Ipv4Addr,
}

pub(super) fn of_real_clients(scene: &mut Scene) -> Result<()> {
    let mut places = Vec::new();
    for program in Program::ALL {
        let place = if program.takes_child() {
            child(&mut scene.site, program.name())?
        } else {
            scene.add_netns(program.name())?
        };
        places.push((program, place));
    }
    let server = Server::dhcpd(&scene.vm01, LAN)?;
    let wire = Wire::open(&scene.vm01, LAN)?;
    alone(scene, &places, &wire)?;

    scene.start(&[])?;
    let mut leased = Vec::new();
    let clients = start(scene, &places)?;
    for (client, (program, place)) in clients.into_iter().zip(places) {
        let found = wait_for_address(&scene.others[place], STARTED)?;
        let address = found.with_context(|| {
            let (log, server) = (client.log(), server.log());
            format!("no lease of {program:?}: {log}; the server: {server}")
        })?;
        leased.push(Leased {
            client,
            place,
            address,
        });
    }
    let addresses: HashSet<_> = leased.iter().map(|leased| leased.address).collect();
    scene.expect_eq("different addresses", addresses.len(), leased.len());
    scene.expect_answered(addresses.iter().copied().map(IpAddr::V4))?;
    let flagged = counted(scene, "dhcp_broadcast")?;
    let shared = counted(scene, "dhcp_no_client_id")?;
    // A DHCPDISCOVER and a DHCPREQUEST of each.
    scene.expect_least(
        "requests with the flag",
        flagged,
        2 * addresses.len() as u64,
    );
    scene.expect_eq("requests without an identifier", shared, 0);
    keep(scene, &leased, &wire, &server)?;
    scene.with_agent("an address each, renewed and rebound");

    let first = leased.swap_remove(0);
    drop(first.client);
    unidentified(scene, first.place)
}

fn start(scene: &Scene, places: &[(Program, usize)]) -> Result<Vec<Client>> {
    let site = &scene.site;
    let start =
        |&(program, place): &(_, usize)| Client::start(program, &site.host, &site.others[place]);
    places.iter().map(start).collect()
}

/// Without the agent each of them sends DHCPDISCOVER, and none gets an offer.
fn alone(scene: &Scene, places: &[(Program, usize)], wire: &Wire) -> Result<()> {
    let clients = start(scene, places)?;
    let deadline = Instant::now() + STARTED;
    let mut silent: Vec<_> = Program::ALL.into();
    while !silent.is_empty() && Instant::now() < deadline {
        let seen = wire.requests(SENT)?;
        silent.retain(|program| !seen.iter().any(|seen| is_of(seen, *program)));
    }
    anyhow::ensure!(
        silent.is_empty(),
        "no DHCPDISCOVER of {silent:?}: {:?}",
        clients.iter().map(Client::log).collect::<Vec<_>>()
    );
    thread::sleep(NO_OFFER);
    let mut offered = Vec::new();
    for (program, place) in places {
        if address(&scene.others[*place])?.is_some() {
            offered.push(program.name());
        }
    }
    scene.alone(if offered.is_empty() {
        "no offer".to_owned()
    } else {
        format!("a lease of {}", offered.join(", "))
    });
    Ok(())
}

fn is_of(seen: &Seen, program: Program) -> bool {
    let name = program.name().as_bytes();
    seen.client_id
        .windows(name.len())
        .any(|window| window == name)
}

/// Each renews its lease once; then the server cannot be reached by unicast, and each rebinds. None starts anew or
/// loses its address.
fn keep(scene: &Scene, leased: &[Leased], wire: &Wire, server: &Server) -> Result<()> {
    // What was sent for the leases.
    wire.requests(Duration::ZERO)?;
    let mut seen = Vec::new();
    let renewing = |seen: &[Seen], leased: &Leased, by_unicast: bool| {
        seen.iter().any(|it| {
            is_of(it, leased.client.program)
                && it.kind == REQUEST
                && it.ciaddr == leased.address
                && (it.to != BROADCAST) == by_unicast
        })
    };
    let renewed = |seen: &[Seen], leased: &Leased| {
        renewing(seen, leased, leased.client.program.renews_by_unicast())
    };
    let deadline = Instant::now() + LEASE;
    while !leased.iter().all(|leased| renewed(&seen, leased)) && Instant::now() < deadline {
        seen.extend(wire.requests(SENT)?);
    }
    let unreachable = Instant::now();
    for leased in leased {
        let netns = &scene.others[leased.place];
        netns.ip(&format!(
            "route replace {}/32 via {} dev {CHILD}\n",
            VM01.v4, UNOWNED.v4
        ))?;
    }
    // The last lease that a renewal brought is over then.
    let mut rebinding = Vec::new();
    while unreachable.elapsed() < LEASE + SENT {
        rebinding.extend(wire.requests(SENT)?);
    }
    for leased in leased {
        let Leased {
            client,
            place,
            address: first,
        } = leased;
        scene.case(client.program.name());
        scene.expect(renewed(&seen, leased), || {
            format!("did not renew: {}", client.log())
        });
        scene.expect(renewing(&rebinding, leased, false), || {
            format!("did not rebind: {}", client.log())
        });
        let all = || seen.iter().chain(&rebinding);
        let anew = all().any(|it| is_of(it, client.program) && it.kind == DISCOVER);
        scene.expect(!anew, || {
            format!("began anew: {}; the server: {}", client.log(), server.log())
        });
        let changed = all().find(|it| it.broadcast || !(it.summed || it.left_to_card));
        scene.expect(changed.is_none(), || format!("changed: {changed:?}"));
        let last = address(&scene.others[*place])?;
        scene.expect(last == Some(*first), || {
            format!("had {first}, has {last:?}: {}", client.log())
        });
    }
    Ok(())
}

/// `dhclient` sends no identifier unless it is configured.
fn unidentified(scene: &Scene, place: usize) -> Result<()> {
    let netns = &scene.others[place];
    netns.ip(&format!("addr flush dev {CHILD}\n"))?;
    let _client = Client::start_unidentified(netns)?;
    let found = wait_for_address(netns, STARTED)?;
    scene.expect(found.is_some(), || "dhclient: no lease".to_owned());
    let count = counted(scene, "dhcp_no_client_id")?;
    scene.expect_least("requests without an identifier", count, 2);
    scene.with_agent("dhclient without an identifier is counted");
    Ok(())
}
