//! Clients of real nodes beside each other: lease, renewal by the server's address, rebinding by broadcast.

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use ipvlan_packet::{
    BROADCAST,
    dhcp::{DISCOVER, REQUEST},
};

use super::{
    NO_OFFER, SENT, child,
    clients::{Client, Program, address, wait_for_address},
    counted,
    process::{Dhcpd, LEASE},
    wire::{Seen, Wire},
};
use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, LAN, NOBODY, VM01},
        stage::{PATIENCE, Plan},
    },
    netns::Netns,
    rows::{
        row::Verdict,
        scene::{Scene, becomes},
    },
};

/// The time within which every client has started, on an emulated processor.
const STARTED: Duration = Duration::from_secs(30);

/// A client, its netns and its lease.
struct Leased {
    client: Client,
    place: usize,
    address: Ipv4Addr,
}

pub(super) fn of_real_clients(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L2, "bridge")?;
    let mut places = Vec::new();
    for program in Program::ALL {
        let place = if program.takes_child() {
            child(&mut scene.site, program.name())?
        } else {
            scene.site.add_netns(program.name())?
        };
        places.push((program, place));
    }
    let server = Dhcpd::start(&scene.site.vm01, LAN)?;
    let wire = Wire::open(&scene.site.vm01, LAN)?;
    alone(&scene, &places, &wire, &mut verdict)?;

    scene.start(&[])?;
    let mut leased = Vec::new();
    let clients = start(&scene, &places)?;
    for (client, (program, place)) in clients.into_iter().zip(places) {
        let found = wait_for_address(&scene.site.others[place], STARTED)?;
        let address = found.with_context(|| {
            let (said, server) = (client.said(), server.said());
            format!("no lease of {program:?}: {said}; the server: {server}")
        })?;
        leased.push(Leased {
            client,
            place,
            address,
        });
    }
    let addresses: HashSet<_> = leased.iter().map(|leased| leased.address).collect();
    verdict.expect(addresses.len() == leased.len(), || {
        format!("the same address twice: {addresses:?}")
    });
    for &address in &addresses {
        let answered = becomes(&scene.site, address.into(), true, PATIENCE)?;
        verdict.expect(answered, || format!("{address} is not answered on the LAN"));
    }
    let flagged = counted(&scene, "dhcp_broadcast")?;
    let shared = counted(&scene, "dhcp_no_client_id")?;
    // A DHCPDISCOVER and a DHCPREQUEST of each.
    verdict.expect(flagged >= 2 * addresses.len() as u64 && shared == 0, || {
        format!("{flagged} requests with the flag, {shared} without an identifier")
    });
    keep(&scene, &leased, &wire, &server, &mut verdict)?;
    verdict.agent("an address each, renewed and rebound");

    let first = leased.swap_remove(0);
    drop(first.client);
    unidentified(&scene, first.place, &mut verdict)?;
    Ok(verdict)
}

fn start(scene: &Scene, places: &[(Program, usize)]) -> Result<Vec<Client>> {
    let site = &scene.site;
    places
        .iter()
        .map(|&(program, place)| Client::start(program, &site.host, &site.others[place]))
        .collect()
}

/// Without the agent each of them sends DHCPDISCOVER, and none gets an offer.
fn alone(
    scene: &Scene,
    places: &[(Program, usize)],
    wire: &Wire,
    verdict: &mut Verdict,
) -> Result<()> {
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
        clients.iter().map(Client::said).collect::<Vec<_>>()
    );
    thread::sleep(NO_OFFER);
    let mut offered = Vec::new();
    for (program, place) in places {
        if address(&scene.site.others[*place])?.is_some() {
            offered.push(program.name());
        }
    }
    verdict.alone(if offered.is_empty() {
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
fn keep(
    scene: &Scene,
    leased: &[Leased],
    wire: &Wire,
    server: &Dhcpd,
    verdict: &mut Verdict,
) -> Result<()> {
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
    let renewed = |seen: &[Seen]| {
        leased
            .iter()
            .all(|leased| renewing(seen, leased, leased.client.program.renews_by_unicast()))
    };
    let deadline = Instant::now() + LEASE;
    while !renewed(&seen) && Instant::now() < deadline {
        seen.extend(wire.requests(SENT)?);
    }
    let unreachable = Instant::now();
    for leased in leased {
        let netns = &scene.site.others[leased.place];
        netns.ip(&format!(
            "route replace {}/32 via {} dev {CHILD}\n",
            VM01.v4, NOBODY.v4
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
        let name = client.program.name();
        let by_unicast = client.program.renews_by_unicast();
        verdict.expect(renewing(&seen, leased, by_unicast), || {
            format!("{name} did not renew: {}", client.said())
        });
        verdict.expect(renewing(&rebinding, leased, false), || {
            format!("{name} did not rebind: {}", client.said())
        });
        let all = || seen.iter().chain(&rebinding);
        let anew = all().any(|it| is_of(it, client.program) && it.kind == DISCOVER);
        verdict.expect(!anew, || {
            format!(
                "{name} began anew: {}; the server: {}",
                client.said(),
                server.said()
            )
        });
        let changed = all().find(|it| it.broadcast || !(it.summed || it.left_to_card));
        verdict.expect(changed.is_none(), || format!("changed: {changed:?}"));
        let last = address(&scene.site.others[*place])?;
        verdict.expect(last == Some(*first), || {
            format!("{name} had {first}, has {last:?}: {}", client.said())
        });
    }
    Ok(())
}

/// `dhclient` sends no identifier unless it is told one.
fn unidentified(scene: &Scene, place: usize, verdict: &mut Verdict) -> Result<()> {
    let netns: &Netns = &scene.site.others[place];
    netns.ip(&format!("addr flush dev {CHILD}\n"))?;
    let _client = Client::start_unidentified(&scene.site.host, netns)?;
    let found = wait_for_address(netns, STARTED)?;
    verdict.expect(found.is_some(), || "dhclient: no lease".to_owned());
    let count = counted(scene, "dhcp_no_client_id")?;
    verdict.expect(count >= 2, || {
        format!("{count} requests of dhclient without an identifier")
    });
    verdict.agent("dhclient without an identifier is counted");
    Ok(())
}
