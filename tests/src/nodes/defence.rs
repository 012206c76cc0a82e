//! Another station takes the address of a child: failback of a virtual address, a pod that moves, two hosts
//! with the same address.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    agent::Agent,
    demo::mode::Mode,
    family::Family,
    faults::{
        site::{CHILD, LAN, MAC, PARENT, STEADY, Site, THIRD, configure_child},
        stage::Plan,
    },
    lab::connect,
    netlink::Netlink,
    netns::{Netns, colons},
    probe::{claim, packet::PacketSocket, until},
    rows::{
        row::{Kind, Row, Verdict},
        scene::{self, Scene},
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B07",
        Kind::Regression,
        "a station takes a child's address, announces it once, and the child gives it up 100 ms later",
        "the LAN keeps the station's MAC, in every mode",
        failback,
    ).on_any_kernel(),
    Row::new(
        "B07",
        Kind::Held,
        "a station announces a child's address once, and the child keeps it",
        "defended in l3 and l3s; in l2, and with --defend off, as with the kernel alone",
        one_claim,
    ).on_any_kernel(),
    Row::new(
        "B07",
        Kind::Held,
        "two hosts have the same address, and an agent each that defends it",
        "each announces it once more at most; status names the conflict",
        two_agents,
    ).on_any_kernel(),
];

/// The probes for new addresses, and their announcements, have ended by then.
const ESTABLISHED: Duration = Duration::from_secs(12);
/// An address is defended, or is not, within this.
const DEFENDED: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// The child gives its address up so long after the station took it.
const GIVEN_UP: Duration = Duration::from_millis(100);
/// The frames of all protocols (`ETH_P_ALL`).
const ALL: u16 = 3;
/// Two agents are watched for so long.
const WATCHED: Duration = Duration::from_mins(1);

/// Plugs a station into the LAN.
fn plug(site: &Site, label: &str, device: &str, port: &str) -> Result<Netns> {
    let netns = site.lab.netns(label)?;
    netns.sysctl("ipv6/conf/all/accept_dad", "0")?;
    netns.sysctl("ipv6/conf/default/accept_dad", "0")?;
    connect(&netns, device, &site.lan, port)?;
    site.lan.ip(&format!(
        "link set {port} master br0\nlink set {port} type bridge_slave learning off\n"
    ))?;
    Ok(netns)
}

/// Makes vm01 believe that `address` is at the parent.
fn believe(site: &Site, address: IpAddr) -> Result<()> {
    let parent = colons(MAC);
    site.vm01.ip(&format!(
        "neigh replace {address} lladdr {parent} dev {LAN} nud stale\n"
    ))
}

/// Returns whether vm01 knows `address` at `mac`.
fn knows(site: &Site, address: IpAddr, mac: [u8; 6]) -> Result<bool> {
    let known = site.vm01.run(|| Netlink::open()?.neighbour(LAN, address))?;
    Ok(known.as_deref() == Some(&mac))
}

/// Plays the failback of both addresses of a child; returns those that vm01 does not know at the station.
fn fails_back(scene: &Scene) -> Result<Vec<IpAddr>> {
    let site = &scene.site;
    let station = plug(site, "n2", LAN, "p-n2")?;
    let mac = station.hardware_address(LAN)?;
    let mut lost = Vec::new();
    for address in THIRD.both() {
        let length = Family::of(address).subnet();
        believe(site, address)?;
        scene::add(&station, LAN, address)?;
        station.run(|| claim::send(LAN, address, mac))?;
        thread::sleep(GIVEN_UP);
        site.third
            .ip(&format!("addr del {address}/{length} dev {CHILD}\n"))?;
        // Long enough for a defence.
        thread::sleep(DEFENDED);
        if !knows(site, address, mac)? {
            lost.push(address);
        }
    }
    Ok(lost)
}

fn failback(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let lost = fails_back(&Scene::build(plan, Mode::L2, "bridge")?)?;
    verdict.expect(lost.is_empty(), || {
        format!("l2, kernel alone: {lost:?} not at the station")
    });
    for mode in Mode::ALL {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        scene.start(&[])?;
        thread::sleep(ESTABLISHED);
        let lost = fails_back(&scene)?;
        verdict.expect(lost.is_empty(), || {
            format!("{mode}: {lost:?} not at the station")
        });
        scene.clear()?;
    }
    verdict.alone("the station's MAC");
    verdict.agent(if verdict.is_met() {
        "the station's MAC"
    } else {
        "the parent's MAC"
    });
    Ok(verdict)
}

/// Returns whether vm01 knows `address` at the parent again, after a station has claimed it once.
fn is_defended(site: &Site, station: &Netns, address: IpAddr) -> Result<bool> {
    let mac = station.hardware_address(LAN)?;
    believe(site, address)?;
    station.run(|| claim::send(LAN, address, mac))?;
    let believed = until(POLL * 4, POLL / 10, || knows(site, address, mac))?;
    anyhow::ensure!(believed, "vm01 did not learn {address} from the claim");
    until(DEFENDED, POLL, || knows(site, address, MAC))
}

fn one_claim(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (mode, options, defends) in [
        (Mode::L2, &[][..], false),
        (Mode::L3, &[], true),
        (Mode::L3s, &[], true),
        (Mode::L3, &["--defend", "off"], false),
        (Mode::L3, &["--announce", "off"], false),
    ] {
        let mut scene = Scene::build(plan, mode, "bridge")?;
        let station = plug(&scene.site, "n2", LAN, "p-n2")?;
        if mode == Mode::L2 {
            for address in STEADY.both() {
                let defended = is_defended(&scene.site, &station, address)?;
                verdict.expect(!defended, || {
                    format!("the kernel alone defends {address} in l2")
                });
            }
        }
        scene.start(options)?;
        thread::sleep(ESTABLISHED);
        for address in STEADY.both() {
            let defended = is_defended(&scene.site, &station, address)?;
            verdict.expect(defended == defends, || {
                format!("{mode}, {options:?}: {address} is defended: {defended}")
            });
        }
        scene.clear()?;
    }
    verdict.alone("not defended in l2");
    verdict.agent("defended in l3 and l3s unless --defend off");
    Ok(verdict)
}

fn two_agents(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    let other = plug(&scene.site, "host2", PARENT, "p-host2")?;
    let child = scene.site.lab.netns("c2")?;
    other.ip(&format!(
        "link add link {PARENT} name {CHILD} netns {} type ipvlan mode l3 bridge\n",
        child.reference()
    ))?;
    configure_child(&child, STEADY)?;
    scene.start(&["--dad", "off"])?;
    thread::sleep(ESTABLISHED);
    let socket = scene.site.vm01.run(|| PacketSocket::open(LAN, ALL))?;
    let second = Agent::start(&plan.ipvlan, &other, &[PARENT], &["--dad", "off"])?;
    let seen = watch(&socket)?;
    for address in STEADY.both() {
        let times: Vec<f32> = seen
            .iter()
            .filter(|(_, of)| *of == address)
            .map(|(at, _)| at.as_secs_f32())
            .collect();
        // Three announcements, IPv6 ones twice: to all routers as well. Then one defence by each.
        let most = if address.is_ipv4() { 5 } else { 8 };
        let last = times.last().copied().unwrap_or_default();
        verdict.expect((4..=most).contains(&times.len()) && last < 20.0, || {
            format!(
                "{address} is announced {} times, at {times:?} s",
                times.len()
            )
        });
    }
    let statuses = [scene.agent()?.status()?, second.status()?];
    let yielded = statuses
        .iter()
        .filter(|status| status.to_string().contains("\"yielded\""))
        .count();
    verdict.expect(yielded > 0, || {
        "no agent's status says that it does not announce the address any more".to_owned()
    });
    verdict.alone("l3 children are not announced");
    verdict.agent(format!(
        "{} announcements in {WATCHED:?}, then silence; {yielded} of 2 yield",
        seen.len()
    ));
    second.stop()?;
    scene.clear()?;
    Ok(verdict)
}

/// Returns what is claimed on the LAN, and when.
fn watch(socket: &PacketSocket) -> Result<Vec<(Duration, IpAddr)>> {
    let begun = Instant::now();
    let mut buffer = [0; 256];
    let mut seen = Vec::new();
    while let Some(left) = WATCHED.checked_sub(begun.elapsed()) {
        if let Some(length) = socket.receive(&mut buffer, left)? {
            let frame = &buffer[..length.min(buffer.len())];
            seen.extend(claim::claimed(frame).map(|address| (begun.elapsed(), address)));
        }
    }
    Ok(seen)
}
