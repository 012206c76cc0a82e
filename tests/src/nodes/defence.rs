//! Another station takes the address of a child: failback of a virtual address, a pod that moves, two hosts
//! with the same address.

use serde_json::Value;

use crate::{agent::Agent, netlink::Netlink, rows::prelude::*};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B07",
        Kind::Regression,
        "a station takes a child's address, announces it once, and the child gives it up 100 ms later",
        "the LAN keeps the station's MAC, in every mode",
        Run::Own(failback),
    )
    .alone("the station's MAC")
    .on_any_kernel(),
    Row::new(
        "B07",
        Kind::Held,
        "a station announces a child's address once, and the child keeps it",
        "defended in l3 and l3s; in l2, and with --defend off, as with the kernel alone",
        Run::Own(one_claim),
    )
    .alone("not defended in l2")
    .on_any_kernel(),
    Row::new(
        "B07",
        Kind::Held,
        "two hosts have the same address, and an agent each that defends it",
        "each announces it once more at most; status names the conflict",
        Run::Each(L3, two_agents),
    )
    .alone("l3 children are not announced")
    .on_any_kernel(),
];

/// The probes for new addresses, and their announcements, have ended by then.
const ESTABLISHED: Duration = Duration::from_secs(12);
/// An address is defended, or is not, within this.
const DEFENDED: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// The child gives its address up so long after the station took it.
const GIVEN_UP: Duration = Duration::from_millis(100);
/// Two agents are watched for so long.
const WATCHED: Duration = Duration::from_mins(1);

/// Plugs a station into the LAN.
fn plug(site: &Site, label: &str, device: &str) -> Result<Netns> {
    let (netns, port) = (site.lab.netns(label)?, format!("p-{label}"));
    site::without_dad(&netns)?;
    site.plug(&netns, device, &port)?;
    Ok(netns)
}

/// Makes vm01 believe that `address` is at the parent.
fn believe(site: &Site, address: IpAddr) -> Result<()> {
    site::set_neighbour(&site.vm01, LAN, address, MAC, "stale")
}

/// Returns whether vm01 knows `address` at `mac`.
fn knows(site: &Site, address: IpAddr, mac: [u8; 6]) -> Result<bool> {
    let known = site.vm01.run(|| Netlink::open()?.neighbour(LAN, address))?;
    Ok(known.as_deref() == Some(&mac))
}

/// Plays the failback of both addresses of a child; requires that vm01 knows both at the station.
fn fails_back(scene: &Scene) -> Result<()> {
    let site = &scene.site;
    let station = plug(site, "n2", LAN)?;
    let mac = station.hardware_address(LAN)?;
    for address in THIRD.both() {
        let length = Family::of(address).subnet();
        believe(site, address)?;
        site::add(&station, LAN, [address])?;
        station.run(|| claim::send(LAN, address, mac))?;
        thread::sleep(GIVEN_UP);
        site.third
            .ip(&format!("addr del {address}/{length} dev {CHILD}\n"))?;
        // Long enough for a defence.
        thread::sleep(DEFENDED);
        let is_known = knows(site, address, mac)?;
        scene.expect(is_known, || format!("{address} is not at the station"));
    }
    Ok(())
}

fn failback(play: &Play) -> Result<()> {
    let scene = play.scene(Mode::L2)?;
    scene.case("kernel alone");
    fails_back(&scene)?;
    drop(scene);
    for mode in Mode::ALL {
        let mut scene = play.scene(mode)?;
        scene.start(&[])?;
        thread::sleep(ESTABLISHED);
        fails_back(&scene)?;
        scene.clear()?;
    }
    Ok(())
}

/// Requires that a station which claims both addresses of a child once is answered by a defence, or not.
fn expect_defended(scene: &Scene, station: &Netns, defends: bool) -> Result<()> {
    let site = &scene.site;
    let mac = station.hardware_address(LAN)?;
    for address in STEADY.both() {
        believe(site, address)?;
        station.run(|| claim::send(LAN, address, mac))?;
        let believed = until(POLL * 4, POLL / 10, || knows(site, address, mac))?;
        ensure!(believed, "vm01 did not learn {address} from the claim");
        let defended = until(DEFENDED, POLL, || knows(site, address, MAC))?;
        scene.expect_eq(&format!("{address} is defended"), defended, defends);
    }
    Ok(())
}

fn one_claim(play: &Play) -> Result<()> {
    for (mode, options, defends) in [
        (Mode::L2, &[][..], false),
        (Mode::L3, &[], true),
        (Mode::L3s, &[], true),
        (Mode::L3, &["--defend", "off"], false),
        (Mode::L3, &["--announce", "off"], false),
    ] {
        let mut scene = play.scene(mode)?;
        let station = plug(&scene.site, "n2", LAN)?;
        if mode == Mode::L2 {
            scene.case("kernel alone");
            expect_defended(&scene, &station, false)?;
        }
        scene.case(format!("{options:?}"));
        scene.start(options)?;
        thread::sleep(ESTABLISHED);
        expect_defended(&scene, &station, defends)?;
        scene.clear()?;
    }
    Ok(())
}

fn two_agents(scene: &mut Scene) -> Result<()> {
    let other = plug(&scene.site, "host2", PARENT)?;
    let child = scene.lab.netns("c2")?;
    site::add_child(&other, &child, CHILD, Mode::L3, "bridge")?;
    site::configure_child(&child, STEADY)?;
    scene.start(&["--dad", "off"])?;
    thread::sleep(ESTABLISHED);
    let socket = scene.listen(EVERY_TYPE)?;
    let ipvlan = &scene.play.plan.ipvlan;
    let second = Agent::start(ipvlan, &other, &[PARENT], &["--dad", "off"])?;
    let frames = socket.frames(WATCHED)?.into_iter();
    let claims = frames.filter_map(|(at, frame)| Some((at, claim::claimed(&frame)?)));
    let claims: Vec<_> = claims.collect();
    for address in STEADY.both() {
        let of_address = claims.iter().filter(|(_, claimed)| *claimed == address);
        let times: Vec<_> = of_address.map(|(at, _)| at.as_secs_f32()).collect();
        // Three announcements, IPv6 ones twice: to all routers as well. Then one defence by each.
        let most = if address.is_ipv4() { 5 } else { 8 };
        let last = times.last().copied().unwrap_or_default();
        scene.expect((4..=most).contains(&times.len()) && last < 20.0, || {
            format!("{address} is announced at {times:?} s")
        });
    }
    let statuses = [scene.agent()?.status()?, second.status()?];
    let has_yielded = |status: &&Value| status.to_string().contains("\"yielded\"");
    let yielded = statuses.iter().filter(has_yielded).count();
    scene.expect_least("agents whose status says that they yielded", yielded, 1);
    scene.with_agent(format!(
        "{} announcements in {WATCHED:?}, then silence; {yielded} of 2 yield",
        claims.len()
    ));
    second.stop()
}
