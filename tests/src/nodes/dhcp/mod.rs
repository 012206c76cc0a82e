//! DHCP clients in l2 children, and a server on the LAN.

mod clients;
mod process;
mod renewal;
mod v6;
mod wire;

use std::time::Duration;

use anyhow::{Context as _, Result};

use self::{
    process::{Client, Server},
    wire::{Wire, discover},
};
use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, LAN, MAC, PARENT, Site},
        stage::{PATIENCE, Plan},
    },
    netns::Netns,
    rows::{
        row::{Kind, Row, Verdict},
        scene::{Scene, becomes},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "DHCP",
        Kind::Gap,
        "udhcpc with client identifiers in two l2 children, dnsmasq on the LAN: lease, renewal, release",
        "an address each, renewed and released",
        leases,
    ),
    Row::new(
        "DHCP-CLIENTS",
        Kind::Gap,
        "DHCP clients with identifiers, dhclient, dhcpcd, systemd-networkd and the CNI plugins ipvlan and dhcp, an l2 \
         child each; ISC dhcpd on the LAN: lease, renewal, rebinding",
        "an address each, renewed and rebound",
        renewal::of_real_clients,
    ),
    Row::new(
        "DHCP-UDP",
        Kind::Gap,
        "DHCPDISCOVER of an l2 child by a UDP socket, whose checksum the card fills in; --dhcp off",
        "an offer, and with --dhcp off the frame of the client",
        by_udp_socket,
    ),
    Row::new(
        "DHCP-HOST",
        Kind::Held,
        "the host's own DHCP client on the parent, with an l2 child beside it",
        "its requests leave as they are",
        of_the_host,
    ),
    Row::new(
        "DHCPv6",
        Kind::Held,
        "DHCPv6 client in an l2 child, dnsmasq on the LAN",
        "an advertisement",
        v6::solicit,
    ),
];

/// Three requests of one second each, and some time for an emulated machine.
const NO_OFFER: Duration = Duration::from_secs(4);
/// The time within which a request is on the wire.
const SENT: Duration = Duration::from_secs(2);

/// Makes an l2 child without an address in a netns of its own; returns its place in `others`.
fn child(site: &mut Site, label: &str) -> Result<usize> {
    let place = site.add_netns(label)?;
    let netns = &site.others[place];
    site.host.ip(&format!(
        "link add link {PARENT} name {CHILD} netns {} type ipvlan mode l2 {}\n",
        netns.reference(),
        site.flag
    ))?;
    netns.ip(&format!("link set {CHILD} up\n"))?;
    Ok(place)
}

/// Returns a counter of the egress program.
fn counted(scene: &Scene, reason: &str) -> Result<u64> {
    let parent = scene.parent()?;
    Ok(parent["counters"]["egress"][reason]
        .as_u64()
        .unwrap_or_default())
}

fn leases(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L2, "bridge")?;
    let places = [
        child(&mut scene.site, "red")?,
        child(&mut scene.site, "blue")?,
    ];
    let server = Server::start(&scene.site.vm01, LAN)?;

    let alone = Client::of_child(&scene.site.others[places[0]], 1)?;
    let offered = alone.wait_for("bound", NO_OFFER);
    verdict.alone(if offered.is_some() {
        "a lease"
    } else {
        "no offer"
    });
    drop(alone);

    scene.start(&[])?;
    let mut clients = Vec::new();
    for (place, number) in places.into_iter().zip(1..) {
        let netns = &scene.site.others[place];
        let client = Client::of_child(netns, number)?;
        let address = client.wait_for("bound", PATIENCE).with_context(|| {
            format!("no lease: {}; the server: {}", client.said(), server.said())
        })?;
        netns.ip(&format!("addr add {address}/24 dev {CHILD}\n"))?;
        clients.push((client, address));
    }
    let [(red, first), (blue, second)] = &clients[..] else {
        anyhow::bail!("two clients");
    };
    verdict.expect(first != second, || format!("both have {first}"));
    for address in [*first, *second] {
        let answered = becomes(&scene.site, address.into(), true, PATIENCE)?;
        verdict.expect(answered, || format!("{address} is not answered on the LAN"));
    }
    red.renew()?;
    let renewed = red.wait_for("renew", PATIENCE);
    verdict.expect(renewed == Some(*first), || {
        format!("renewed {renewed:?} of {first}: {}", red.said())
    });
    verdict.expect(server.has_lease(*second), || {
        "no lease before the release".to_owned()
    });
    blue.release()?;
    let released =
        crate::faults::stage::wait_for("a released lease", || Ok(!server.has_lease(*second)));
    verdict.expect(released.is_ok(), || {
        format!("not released: {}", server.said())
    });
    let flagged = counted(&scene, "dhcp_broadcast")?;
    // A DHCPDISCOVER and a DHCPREQUEST of each.
    verdict.expect(flagged >= 4, || format!("{flagged} requests with the flag"));
    verdict.agent("an address each, renewed and released");

    unidentified(&scene, &scene.site.others[places[1]], &mut verdict)?;
    Ok(verdict)
}

/// A client that only its MAC identifies gets a lease, and `status` notes what is wrong.
fn unidentified(scene: &Scene, netns: &Netns, verdict: &mut Verdict) -> Result<()> {
    let is_noted = |parent: &serde_json::Value| {
        parent["notes"].as_array().is_some_and(|notes| {
            let mut notes = notes.iter().filter_map(|note| note.as_str());
            notes.any(|note| note.contains("client identifier"))
        })
    };
    verdict.expect(!is_noted(&scene.parent()?), || "noted too early".to_owned());
    // The MAC of all children as identifier, as it has it by default; then none.
    for options in [&[][..], &["-C"]] {
        let client = Client::start(netns, CHILD, options)?;
        let address = client.wait_for("bound", PATIENCE);
        verdict.expect(address.is_some(), || format!("{options:?}: no lease"));
    }
    let count = counted(scene, "dhcp_no_client_id")?;
    verdict.expect(count >= 4, || {
        format!("{count} requests without an identifier")
    });
    verdict.expect(is_noted(&scene.parent()?), || "no note".to_owned());
    verdict.agent("without identifiers a note");
    Ok(())
}

fn by_udp_socket(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L2, "vepa")?;
    let place = child(&mut scene.site, "red")?;
    // Without an address there is no route back to the server, which a UDP socket's packets are checked for.
    for device in ["all", CHILD] {
        scene.site.others[place].sysctl(&format!("ipv4/conf/{device}/rp_filter"), "0")?;
    }
    let _server = Server::start(&scene.site.vm01, LAN)?;
    let wire = Wire::open(&scene.site.vm01, LAN)?;
    // What is started, and whether the flag is to be set.
    let rows = [
        (None, false),
        (Some(&["--dhcp", "off"][..]), false),
        (Some(&["--dhcp", "auto"][..]), true),
    ];
    for (xid, (options, flagged)) in (0x5eed_0001..).zip(rows) {
        if let Some(options) = options {
            scene.start(options)?;
        }
        let netns = &scene.site.others[place];
        let offered = discover(netns, CHILD, MAC, xid, NO_OFFER)?;
        let seen = wire.requests(SENT)?;
        let seen = seen.iter().find(|seen| seen.xid == xid);
        let seen = seen.with_context(|| format!("{options:?}: nothing on the LAN"))?;
        verdict.expect(seen.broadcast == flagged, || {
            format!("{options:?}: {seen:?}")
        });
        verdict.expect(seen.summed || seen.left_to_card, || {
            format!("{options:?}: neither sum: {seen:?}")
        });
        verdict.expect(offered == flagged, || {
            format!("{options:?}: offer {offered}")
        });
        let outcome = if offered { "offer" } else { "no offer" };
        match options {
            None => verdict.alone(outcome),
            Some(options) => verdict.agent(format!("{}: {outcome}", options[1])),
        }
        if options.is_some() {
            scene.clear()?;
        }
    }
    Ok(verdict)
}

fn of_the_host(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L2, "bridge")?;
    let place = child(&mut scene.site, "red")?;
    let wire = Wire::open(&scene.site.vm01, LAN)?;
    scene.start(&[])?;
    // Nobody answers: both send DHCPDISCOVER.
    let flags_of = |netns: &Netns, device: &str| -> Result<Vec<bool>> {
        let _client = Client::start(netns, device, &[])?;
        let seen = wire.requests(SENT)?;
        verdict_of(&seen)
    };
    let host = flags_of(&scene.site.host, PARENT)?;
    let child = flags_of(&scene.site.others[place], CHILD)?;
    verdict.expect(!host.is_empty() && !host.contains(&true), || {
        format!("flags of the host's requests: {host:?}")
    });
    verdict.expect(!child.is_empty() && !child.contains(&false), || {
        format!("flags of the child's requests: {child:?}")
    });
    verdict.agent("its requests leave as they are");
    Ok(verdict)
}

/// The flags of requests, all of which have to be summed right.
fn verdict_of(seen: &[wire::Seen]) -> Result<Vec<bool>> {
    anyhow::ensure!(
        seen.iter().all(|seen| seen.summed),
        "a wrong checksum among {seen:?}"
    );
    Ok(seen.iter().map(|seen| seen.broadcast).collect())
}
