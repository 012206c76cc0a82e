//! DHCP clients in l2 children, and a server on the LAN.

mod clients;
mod process;
mod renewal;
mod wire;

use self::{
    clients::dhclient,
    process::{LEASES, Server, Udhcpc},
    wire::{Seen, Wire, discover},
};
use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "DHCP",
        Kind::Gap,
        "udhcpc with client identifiers in two l2 children, dnsmasq on the LAN: lease, renewal, release",
        "an address each, renewed and released",
        Run::Each(L2, leases),
    ),
    Row::new(
        "DHCP-CLIENTS",
        Kind::Gap,
        "DHCP clients with identifiers, dhclient, dhcpcd, systemd-networkd and the CNI plugins ipvlan and dhcp, an l2 \
         child each; ISC dhcpd on the LAN: lease, renewal, rebinding",
        "an address each, renewed and rebound",
        Run::Each(L2, renewal::of_real_clients),
    )
    .on_any_kernel(),
    Row::new(
        "DHCP-UDP",
        Kind::Gap,
        "DHCPDISCOVER of an l2 child by a UDP socket, whose checksum the card fills in; --dhcp off",
        "an offer, and with --dhcp off the frame of the client",
        Run::Own(by_udp_socket),
    ),
    Row::new(
        "DHCP-HOST",
        Kind::Held,
        "the host's own DHCP client on the parent, with an l2 child beside it",
        "its requests leave as they are",
        Run::Each(L2, of_the_host),
    ),
    Row::new(
        "DHCPv6",
        Kind::Held,
        "DHCPv6 client in an l2 child, dnsmasq on the LAN",
        "a lease",
        Run::Own(of_v6),
    ),
];

/// Three requests of one second each, and some time for an emulated machine.
const NO_OFFER: Duration = Duration::from_secs(4);
/// The time within which a request is on the wire.
const SENT: Duration = Duration::from_secs(2);

/// Returns a counter of the egress program.
fn counted(scene: &Scene, reason: &str) -> Result<u64> {
    Ok(scene.parent()?.counter("egress", reason))
}

fn leases(scene: &mut Scene) -> Result<()> {
    let places = [
        scene.add_netns_with_child("red")?,
        scene.add_netns_with_child("blue")?,
    ];
    let server = Server::dnsmasq(&scene.vm01)?;

    let alone = Udhcpc::of_child(&scene.others[places[0]], 1)?;
    let offered = alone.wait_for("bound", NO_OFFER)?.is_some();
    scene.alone(if offered { "a lease" } else { "no offer" });
    drop(alone);

    scene.start(&[])?;
    let lease = |place: usize, number| {
        let netns = &scene.others[place];
        let client = Udhcpc::of_child(netns, number)?;
        let address = client.wait_for("bound", PATIENCE)?;
        let address = address
            .with_context(|| format!("no lease: {}; the server: {}", client.log(), server.log()))?;
        netns.ip(&format!("addr add {address}/24 dev {CHILD}\n"))?;
        Ok::<_, anyhow::Error>((client, address))
    };
    let (red, first) = lease(places[0], 1)?;
    let (blue, second) = lease(places[1], 2)?;
    scene.expect(first != second, || format!("both have {first}"));
    scene.expect_answered([first.into(), second.into()])?;
    red.renew()?;
    let renewed = red.wait_for("renew", PATIENCE)?;
    scene.expect(renewed == Some(first), || {
        format!("renewed {renewed:?} of {first}: {}", red.log())
    });
    scene.expect_eq("a lease before the release", server.has_lease(second), true);
    blue.release()?;
    let released = wait_for("a released lease", || Ok(!server.has_lease(second)));
    let what = format!("released: {}", server.log());
    scene.expect_eq(&what, released.is_ok(), true);
    let flagged = counted(scene, "dhcp_broadcast")?;
    // A DHCPDISCOVER and a DHCPREQUEST of each.
    scene.expect_least("requests with the flag", flagged, 4);
    scene.with_agent("an address each, renewed and released");
    drop((red, blue));

    unidentified(scene, &scene.others[places[1]])
}

/// A client that only its MAC identifies gets a lease, and `status` notes what is wrong.
fn unidentified(scene: &Scene, netns: &Netns) -> Result<()> {
    const NOTE: &str = "client identifier";
    scene.expect_eq("noted too early", scene.parent()?.notes(NOTE), false);
    // The MAC of all children as identifier, as it has it by default; then none.
    for options in [&[][..], &["-C"]] {
        let client = Udhcpc::start(netns, CHILD, options)?;
        let address = client.wait_for("bound", PATIENCE)?;
        scene.expect(address.is_some(), || format!("{options:?}: no lease"));
    }
    let count = counted(scene, "dhcp_no_client_id")?;
    scene.expect_least("requests without an identifier", count, 4);
    scene.expect(scene.parent()?.notes(NOTE), || "no note".to_owned());
    scene.with_agent("without identifiers a note");
    Ok(())
}

fn by_udp_socket(play: &Play) -> Result<()> {
    let mut scene = play.isolated(Mode::L2, "vepa")?;
    let place = scene.add_netns_with_child("red")?;
    // Without an address there is no route back to the server, which a UDP socket's packets are checked for.
    for device in ["all", CHILD] {
        scene.others[place].sysctl(&format!("ipv4/conf/{device}/rp_filter"), "0")?;
    }
    let _server = Server::dnsmasq(&scene.vm01)?;
    let wire = Wire::open(&scene.vm01)?;
    // The value of `--dhcp`, if an agent runs, and whether the flag is to be set.
    let rows = [(None, false), (Some("off"), false), (Some("auto"), true)];
    for (xid, (dhcp, flagged)) in (0x5eed_0001..).zip(rows) {
        scene.case(format!("--dhcp {dhcp:?}"));
        if let Some(dhcp) = dhcp {
            scene.start(&["--dhcp", dhcp])?;
        }
        let netns = &scene.others[place];
        let offered = discover(netns, xid, NO_OFFER)?;
        let seen = wire.requests(SENT)?;
        let seen = seen.iter().find(|seen| seen.xid == xid);
        let seen = seen.with_context(|| format!("--dhcp {dhcp:?}: nothing on the LAN"))?;
        scene.expect_eq("the flag", seen.broadcast, flagged);
        scene.expect(seen.summed || seen.left_to_card, || {
            format!("neither sum: {seen:?}")
        });
        scene.expect_eq("an offer", offered, flagged);
        let outcome = if offered { "offer" } else { "no offer" };
        match dhcp {
            None => scene.alone(outcome),
            Some(dhcp) => {
                scene.with_agent(format!("{dhcp}: {outcome}"));
                scene.clear()?;
            }
        }
    }
    Ok(())
}

fn of_the_host(scene: &mut Scene) -> Result<()> {
    let place = scene.add_netns_with_child("red")?;
    let wire = Wire::open(&scene.vm01)?;
    scene.start(&[])?;
    // Nobody answers: both send DHCPDISCOVER.
    for (netns, device, flagged) in [
        (&scene.host, PARENT, false),
        (&scene.others[place], CHILD, true),
    ] {
        let _client = Udhcpc::start(netns, device, &[])?;
        let seen = wire.requests(SENT)?;
        let is_right = |seen: &Seen| seen.summed && seen.broadcast == flagged;
        scene.expect(!seen.is_empty() && seen.iter().all(is_right), || {
            format!("requests on {device}: {seen:?}")
        });
    }
    Ok(())
}

/// `DHCPv6` (RFC 8415): replies go to the link-local address of the client, which the driver knows.
fn of_v6(play: &Play) -> Result<()> {
    let mut scene = play.isolated(Mode::L2, "private")?;
    let server_address = format!("addr add fe80::510/64 dev {LAN} nodad\n");
    scene.vm01.ip(&server_address)?;
    let place = scene.add_netns_with_child("red")?;
    let client_address = format!("addr add fe80::501/64 dev {CHILD} nodad\n");
    scene.others[place].ip(&client_address)?;
    let server = Server::dnsmasq(&scene.vm01)?;
    let leased = |scene: &Scene| {
        let client = dhclient(&scene.others[place], "-6", "")?;
        let has_lease = || Ok(client.read(LEASES).contains("iaaddr"));
        let leased = until(PATIENCE, Duration::from_millis(50), has_lease)?;
        Ok::<_, anyhow::Error>((["no lease", "a lease"][usize::from(leased)], client.log()))
    };
    scene.alone(leased(&scene)?.0);
    scene.start(&[])?;
    let (found, log) = leased(&scene)?;
    scene.expect(found == "a lease", || {
        format!("{log}; the server: {}", server.log())
    });
    scene.with_agent(found);
    scene.clear()
}
