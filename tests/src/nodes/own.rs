//! What is the host's own: addresses on other links than the parent, and MACs of other links.

use crate::{probe::neighbour::who_has, rows::prelude::*};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B01",
        Kind::Regression,
        "the host's addresses are on a second NIC on the same LAN; rp_filter 0, 1, 2; an l2 child asks first",
        "all pings in l2, and in l3 and l3s those that the kernel can route: IPv6; no conflict",
        Run::Own(second_nic),
    ),
    Row::new(
        "B01",
        Kind::Regression,
        "the host asks for an l3 child by a second NIC, with the parent's address as sender",
        "answered; no conflict",
        Run::Each(L3_L3S, asked_by_second_nic),
    ),
    Row::new(
        "B16",
        Kind::Regression,
        "a virtual address is on a dummy of the host and on a station; arp_ignore 0 and 1",
        "l2 children are answered as by the kernel; no conflict; the station is answered",
        Run::Each(L2_L3, virtual_address),
    ),
    Row::new(
        "B28",
        Kind::Gap,
        "host and l2 child have single addresses and a gateway that returns nothing; the children are allowed",
        "host and child reach each other",
        Run::Each(L2, single_addresses),
    ),
];

/// The host's other device on the LAN.
const SECOND: &str = "m0";

fn plug_second(scene: &Scene) -> Result<()> {
    scene.plug(&scene.host, SECOND, "p-m0")
}

fn set_rp_filter(scene: &Scene, value: &str) -> Result<()> {
    let key = |device| format!("ipv4/conf/{device}/rp_filter");
    let mut devices = ["all", PARENT, SECOND].into_iter();
    devices.try_for_each(|device| scene.host.sysctl(&key(device), value))
}

fn second_nic(play: &Play) -> Result<()> {
    for (mode, filters) in [
        (Mode::L2, &["1", "2", "0"][..]),
        (Mode::L3, &["1"]),
        (Mode::L3s, &["2"]),
    ] {
        let mut scene = play.scene(mode)?;
        plug_second(&scene)?;
        let Pair { v4, v6 } = GATEWAY;
        scene.host.ip(&format!(
            "{}{}route replace default via {v4} dev {SECOND}\nroute replace ::/0 via {v6} dev {SECOND}\n",
            HOST.deleted(PARENT),
            HOST.added(SECOND),
        ))?;
        // What the kernel cannot route, whoever answers: see `unroutable`.
        let lost = if mode == Mode::L2 {
            Vec::new()
        } else {
            unroutable(&scene)?
        };
        for filter in filters {
            let setting = format!("{mode} rp_filter {filter}");
            scene.case(&setting);
            set_rp_filter(&scene, filter)?;
            let alone = both_ways(&scene)?;
            play.alone(format!("{setting}: {}", shown(&alone)));
            if mode == Mode::L2 {
                scene.expect_none("without the agent, no answer from", &alone);
            }
            scene.start(&[])?;
            scene.expect_answered(STEADY.both())?;
            let with_agent = both_ways(&scene)?;
            play.with_agent(format!("{setting}: {}", shown(&with_agent)));
            scene.expect_eq("no answer from", &with_agent, &lost);
            for address in STEADY.both() {
                let source = HOST.like(address);
                expect_answer(&scene, &scene.host, SECOND, [source, address], MAC)?;
                no_conflict(&scene, source)?;
            }
            scene.clear()?;
        }
    }
    Ok(())
}

/// Returns the pings that cannot succeed in l3 and l3s, after proving it: without an agent, and with every
/// neighbour entry made by hand, they fail, and those of IPv6 succeed.
///
/// The driver looks an IPv4 route up with the parent as output interface (`ipvlan_process_v4_outbound`). The host's
/// address on another interface is not local to that lookup (`fib_table_lookup`), so the packet leaves the parent,
/// and no interface of a host answers the host's own request (`ip_route_input_slow`: martian source).
fn unroutable(scene: &Scene) -> Result<Vec<String>> {
    let host = &scene.host;
    for address in STEADY.both() {
        site::set_neighbour(host, SECOND, address, MAC, "permanent")?;
        let reached = host.run(|| ping(None, address, PATIENCE / 5))?;
        let what = format!("with entries made by hand: {address} reached");
        scene.expect_eq(&what, reached, address.is_ipv6());
        host.ip(&format!("neigh del {address} dev {SECOND}\n"))?;
    }
    Ok(vec![
        format!("child to host {}", HOST.v4),
        format!("host to child {}", STEADY.v4),
    ])
}

/// Pings from the child to the host, then from the host to the child; returns those that failed.
fn both_ways(scene: &Scene) -> Result<Vec<String>> {
    let site = &scene.site;
    // The driver gives a child what it asks its parent's stack for; l3 children ask nobody.
    let patience = if site.mode == Mode::L2 {
        PATIENCE
    } else {
        PATIENCE / 5
    };
    let mut failed = Vec::new();
    for (from, to, what) in [
        (&site.steady, HOST, "child to host"),
        (&site.host, STEADY, "host to child"),
    ] {
        // Each has to be asked for.
        for netns in [&site.steady, &site.host] {
            netns.ip("neigh flush all\n")?;
        }
        for address in to.both() {
            if !from.run(|| ping(None, address, patience))? {
                failed.push(format!("{what} {address}"));
            }
        }
    }
    Ok(failed)
}

fn shown(failed: &[String]) -> String {
    if failed.is_empty() {
        "all pings".to_owned()
    } else {
        format!("no answer from {}", failed.join(", "))
    }
}

/// The host's address on its second device.
const SECOND_ADDRESS: Pair = Pair::new(15);

fn asked_by_second_nic(scene: &mut Scene) -> Result<()> {
    plug_second(scene)?;
    scene.host.ip(&format!(
        "{}route add {}/32 dev {SECOND} src {}\n",
        SECOND_ADDRESS.added(SECOND),
        STEADY.v4,
        HOST.v4
    ))?;
    set_rp_filter(scene, "0")?;
    scene.start(&[])?;
    scene.host.ip("neigh flush all\n")?;
    scene.expect_reached(&scene.host, [STEADY.v4.into()])?;
    no_conflict(scene, HOST.v4.into())
}

/// Requires that no conflict about `address` was counted or reported.
fn no_conflict(scene: &Scene, address: IpAddr) -> Result<()> {
    let parent = scene.parent()?;
    let counted = parent.counter("ingress", "sender_conflict");
    scene.expect_eq("counted conflicts", counted, 0);
    let events = parent.events.into_iter();
    let about = events.filter(|event| event.address == Some(address));
    scene.expect_none("reported", about);
    Ok(())
}

/// Requires that `mac` answers the question of `asker` on `device`, from the first address for the second one.
fn expect_answer(
    scene: &Scene,
    asker: &Netns,
    device: &str,
    [source, target]: [IpAddr; 2],
    mac: [u8; 6],
) -> Result<()> {
    let answer = who_has(asker, device, source, target, SILENCE)?;
    let what = format!("{target} is answered to {source} on {device} by");
    scene.expect_eq(&what, answer, Some(mac));
    Ok(())
}

fn virtual_address(scene: &mut Scene) -> Result<()> {
    let site = &scene.site;
    let Pair { v4, v6 } = UNOWNED;
    let dummy = "link add kube-ipvs0 type dummy\nlink set kube-ipvs0 up\n";
    site.host.ip(dummy)?;
    site::add(&site.host, "kube-ipvs0", UNOWNED.both())?;
    site::add(&site.vm01, LAN, UNOWNED.both())?;
    let station = site.vm01.hardware_address(LAN)?;
    for (ignore, answered_v4) in [("1", station), ("0", MAC)] {
        scene.case(format!("arp_ignore {ignore}"));
        scene.host.sysctl("ipv4/conf/all/arp_ignore", ignore)?;
        scene.start(&[])?;
        scene.expect_answered(STEADY.both())?;
        let Scene { site, .. } = &*scene;
        if site.mode == Mode::L2 {
            for (target, mac) in [
                (v4.into(), answered_v4),
                (v6.into(), station),
                (HOST.v4.into(), MAC),
                (HOST.v6.into(), MAC),
            ] {
                let addresses = [STEADY.like(target), target];
                expect_answer(scene, &site.steady, CHILD, addresses, mac)?;
            }
        }
        // The station uses the address as it uses any of its own.
        for address in UNOWNED.both() {
            let addresses = [address, UNNAMED.like(address)];
            expect_answer(scene, &site.vm01, LAN, addresses, MAC)?;
            no_conflict(scene, address)?;
        }
        scene.clear()?;
    }
    Ok(())
}

fn single_addresses(scene: &mut Scene) -> Result<()> {
    const ALLOW: [&str; 4] = ["--allow", "172.16.91.0/24", "--allow", "2001:db8:91::/64"];
    let Pair { v4, v6 } = GATEWAY;
    for (netns, device, pair) in [(&scene.host, PARENT, HOST), (&scene.steady, CHILD, STEADY)] {
        netns.ip(&format!(
            "addr flush dev {device} scope global\n\
             addr add {}/32 dev {device}\naddr add {}/128 dev {device} nodad\n\
             route replace default via {v4} dev {device} onlink\n\
             route replace {v6}/128 dev {device}\nroute replace ::/0 via {v6} dev {device}\n",
            pair.v4, pair.v6
        ))?;
    }
    scene.alone(shown(&both_ways(scene)?));
    scene.start(&ALLOW)?;
    scene.expect_answered(STEADY.both())?;
    let failed = both_ways(scene)?;
    scene.with_agent(shown(&failed));
    scene.expect_none("no answer from", &failed);
    Ok(())
}
