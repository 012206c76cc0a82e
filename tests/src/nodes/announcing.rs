//! What the agent sends unasked, and how fast: the start with many children, a restart, refreshes.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use ipvlan_packet::{ARP, IPV6};

use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, LAN, MAC, PARENT, Pair, STEADY},
        stage::Plan,
    },
    probe::{claim, packet::PacketSocket},
    rows::{
        row::{Kind, Row, Verdict},
        scene::Scene,
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B11",
        Kind::Gap,
        "the agent starts with 60 more children, and is killed and started again",
        "at most 15 ARP, NS and NA frames in any second; the restart announces nothing",
        sixty_children,
    )
    .on_any_kernel(),
    Row::new(
        "B20",
        Kind::Gap,
        "a silent child, and --refresh 5",
        "each address is announced again about every 5 s; without the option never",
        refreshed,
    )
    .on_any_kernel(),
];

/// The children that are there at start, beside those of the topology.
const CHILDREN: u8 = 60;
/// The last byte of their first address.
const FIRST: u8 = 110;
/// ARP inspection of common switches closes a port at more than this in a second.
const INSPECTED: usize = 15;
/// The start is watched for so long.
const WATCHED: Duration = Duration::from_secs(30);
/// The probes for all addresses, and their announcements, have ended by then.
const ALL_ANNOUNCED: Duration = Duration::from_secs(110);
const SECOND: Duration = Duration::from_secs(1);
/// The frames of all protocols (`ETH_P_ALL`).
const ALL: u16 = 3;

/// A frame that the parent has sent.
#[derive(Debug)]
struct Sent {
    at: Duration,
    claimed: Option<IpAddr>,
}

/// Returns the ARP frames, solicitations and advertisements that the parent sends within `time`.
fn watch(socket: &PacketSocket, time: Duration) -> Result<Vec<Sent>> {
    let begun = Instant::now();
    let mut buffer = [0; 256];
    let mut sent = Vec::new();
    while let Some(left) = time.checked_sub(begun.elapsed()) {
        let Some(length) = socket.receive(&mut buffer, left)? else {
            continue;
        };
        let frame = &buffer[..length.min(buffer.len())];
        let is_arp = frame.get(12..14) == Some(&ARP.to_be_bytes());
        let is_nd = frame.get(12..14) == Some(&IPV6.to_be_bytes())
            && frame.get(20) == Some(&58)
            && frame.get(54).is_some_and(|kind| [135, 136].contains(kind));
        if frame.get(6..12) == Some(&MAC) && (is_arp || is_nd) {
            sent.push(Sent {
                at: begun.elapsed(),
                claimed: claim::claimed(frame),
            });
        }
    }
    Ok(sent)
}

/// Returns the most frames within any second.
fn most_in_a_second(sent: &[Sent]) -> usize {
    let within = |(index, first): (usize, &Sent)| {
        let later = sent[index..].iter();
        later.take_while(|of| of.at < first.at + SECOND).count()
    };
    sent.iter()
        .enumerate()
        .map(within)
        .max()
        .unwrap_or_default()
}

/// Watches what the parent sends for [`WATCHED`] while the agent starts.
fn started(scene: &mut Scene) -> Result<Vec<Sent>> {
    let socket = scene.site.vm01.run(|| PacketSocket::open(LAN, ALL))?;
    thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&socket, WATCHED));
        scene.start(&[])?;
        watching
            .join()
            .map_err(|_| anyhow!("the watcher panicked"))?
    })
}

fn sixty_children(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    for number in 0..CHILDREN {
        let index = scene.site.add_netns(&format!("many{number}"))?;
        let (site, pair) = (&scene.site, Pair::new(FIRST + number));
        let netns = &site.others[index];
        site.host.ip(&format!(
            "link add link {PARENT} name {CHILD} netns {} type ipvlan mode l3 bridge\n",
            netns.reference()
        ))?;
        netns.ip(&format!("link set {CHILD} up\n{}", pair.added(CHILD)))?;
    }
    let sent = started(&mut scene)?;
    let most = most_in_a_second(&sent);
    verdict.expect(most <= INSPECTED, || {
        format!("{most} ARP, NS and NA frames in a second")
    });
    // The start is slow, but goes on.
    verdict.expect(sent.len() > 100, || {
        format!("only {} frames in {WATCHED:?}", sent.len())
    });
    thread::sleep(ALL_ANNOUNCED);
    scene.kill()?;
    let again = started(&mut scene)?;
    let most_again = most_in_a_second(&again);
    verdict.expect(most_again <= INSPECTED, || {
        format!("{most_again} frames in a second after the restart")
    });
    let announced = again.iter().filter(|sent| sent.claimed.is_some()).count();
    verdict.expect(announced == 0, || {
        format!("{announced} announcements after the restart")
    });
    verdict.alone("nothing is announced for children");
    verdict.agent(format!(
        "at most {most} frames in a second at start, {most_again} at the restart, {announced} announcements then"
    ));
    scene.clear()?;
    Ok(verdict)
}

fn refreshed(plan: &Plan) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (options, least, most) in [(&[][..], 0, 0), (&["--refresh", "5"], 5, 8)] {
        let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
        scene.start(options)?;
        // Until probes and announcements have ended.
        thread::sleep(Duration::from_secs(15));
        let socket = scene.site.vm01.run(|| PacketSocket::open(LAN, ALL))?;
        let sent = watch(&socket, WATCHED)?;
        for address in STEADY.both() {
            let times = sent.iter().filter(|sent| sent.claimed == Some(address));
            let times = times.count();
            verdict.expect((least..=most).contains(&times), || {
                format!("{options:?}: {address} is announced {times} times in {WATCHED:?}")
            });
        }
        verdict.agent(format!("{options:?}: {} announcements", sent.len()));
        scene.clear()?;
    }
    verdict.alone("nothing is announced for children");
    Ok(verdict)
}
