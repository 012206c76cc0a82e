//! What the agent sends unasked, and how fast: the start with many children, a restart, refreshes.

use ipvlan_packet::{Arp, Nd};

use crate::rows::prelude::*;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "B11",
        Kind::Gap,
        "the agent starts with 60 more children, and is killed and started again",
        "at most 15 ARP, NS and NA frames in any second; the restart announces nothing",
        Run::Each(L3, sixty_children),
    )
    .alone("nothing is announced for children")
    .on_any_kernel(),
    Row::new(
        "B20",
        Kind::Gap,
        "a silent child, and --refresh 5",
        "each address is announced again about every 5 s; without the option never",
        Run::Each(L3, refreshed),
    )
    .alone("nothing is announced for children")
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

/// A frame that the parent has sent.
#[derive(Debug)]
struct Sent {
    at: Duration,
    claimed: Option<IpAddr>,
}

/// Returns the ARP frames, solicitations and advertisements that the parent sends while the LAN is watched.
fn watch(socket: &PacketSocket) -> Result<Vec<Sent>> {
    let frames = socket.frames(WATCHED)?.into_iter();
    let by_parent = frames.filter(|(_, frame)| {
        let is_discovery = Arp::parse(frame).is_some() || Nd::parse(frame).is_some();
        is_discovery && frame[6..12] == MAC
    });
    let sent = by_parent.map(|(at, frame)| Sent {
        at,
        claimed: claim::claimed(&frame),
    });
    Ok(sent.collect())
}

/// Returns the most frames within any second.
fn most_in_a_second(sent: &[Sent]) -> usize {
    let within = |(index, first): (usize, &Sent)| {
        let later = sent[index..].iter();
        later.take_while(|of| of.at < first.at + SECOND).count()
    };
    let counts = sent.iter().enumerate().map(within);
    counts.max().unwrap_or_default()
}

/// Returns what the parent sends while the agent starts, and the most in a second.
fn started(scene: &mut Scene) -> Result<(Vec<Sent>, usize)> {
    let socket = scene.listen(EVERY_TYPE)?;
    let (sent, ()) = beside(|_| watch(&socket), || scene.start(&[]))?;
    let most = most_in_a_second(&sent);
    scene.expect_most("ARP, NS and NA frames in a second", most, INSPECTED);
    Ok((sent, most))
}

fn sixty_children(scene: &mut Scene) -> Result<()> {
    for number in 0..CHILDREN {
        let place = scene.add_netns_with_child(&format!("many{number}"))?;
        scene.others[place].ip(&Pair::new(FIRST + number).added(CHILD))?;
    }
    let (sent, most) = started(scene)?;
    // The start is slow, but goes on.
    scene.expect_least("frames while it was watched", sent.len(), 101);
    thread::sleep(ALL_ANNOUNCED);
    scene.kill()?;
    scene.case("restart");
    let (sent, most_again) = started(scene)?;
    let announced = sent.iter().filter(|sent| sent.claimed.is_some()).count();
    scene.expect_eq("announcements", announced, 0);
    scene.with_agent(format!(
        "at most {most} frames in a second at start, {most_again} at the restart, {announced} announcements then"
    ));
    Ok(())
}

fn refreshed(scene: &mut Scene) -> Result<()> {
    for (options, least, most) in [(&[][..], 0, 0), (&["--refresh", "5"], 5, 8)] {
        scene.case(format!("{options:?}"));
        scene.start(options)?;
        // Until probes and announcements have ended.
        thread::sleep(Duration::from_secs(15));
        let sent = watch(&scene.listen(EVERY_TYPE)?)?;
        for address in STEADY.both() {
            let times = sent.iter().filter(|sent| sent.claimed == Some(address));
            let times = times.count();
            let what = format!("announcements of {address}");
            scene.expect_least(&what, times, least);
            scene.expect_most(&what, times, most);
        }
        scene.with_agent(format!("{options:?}: {} announcements", sent.len()));
        scene.clear()?;
    }
    Ok(())
}
