//! A hostile netns beside a well-behaved one: random changes in a container and in netns of users, while the
//! agent is killed and started again. The well-behaved addresses are asked for all the time.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};

use crate::{
    demo::mode::Mode,
    faults::{
        site::{CHILD, THIRD},
        stage::{self, Plan},
        traffic::{Expect, Traffic},
    },
    netns::Netns,
    probe::stream::Stream,
    rows::{
        row::{
            Kind::{Container, User},
            Row, Verdict,
        },
        scene::Scene,
    },
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "all",
        Container,
        "random links, addresses, names, MTUs, routes and flags in a container's netns; restarts",
        "every address of others answered within 1 s all the time",
        in_container,
    )
    .on_any_kernel(),
    Row::new(
        "all",
        User,
        "the same in three netns of an unprivileged user",
        "every address of others answered within 1 s all the time",
        in_user_netns,
    )
    .on_any_kernel(),
];

/// Within which everything is as it should be.
const HEALED: Duration = Duration::from_secs(1);
/// Between two changes.
const PAUSE: Duration = Duration::from_millis(5);
/// What is random here, so that a run can be repeated.
const SEED: u64 = 12;

fn in_container(plan: &Plan) -> Result<Verdict> {
    play(plan, &[])
}

fn in_user_netns(plan: &Plan) -> Result<Verdict> {
    let netns = ["user0", "user1", "user2"]
        .into_iter()
        .map(Netns::of_user)
        .collect::<Result<Vec<_>>>()?;
    play(plan, &netns)
}

/// Plays random changes in `users`, or in the container if there are none.
fn play(plan: &Plan, users: &[Netns]) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut scene = Scene::build(plan, Mode::L3, "bridge")?;
    let unanswered = crate::rows::scene::STEADY_ADDRESSES - scene.steady_answered()?;
    verdict.alone(format!("{unanswered} addresses of others are not answered"));
    scene.start(&[])?;
    let mut traffic = Traffic::start(&scene.site, HEALED)?;
    // The container is the attacker's; nothing is expected of it.
    let either = THIRD.both().map(|address| (address, Expect::Either));
    traffic.change(&either, || Ok(()))?;
    let stop = AtomicBool::new(false);
    let changes = AtomicU64::new(0);
    let rounds = plan.either(3, 20);
    let pace = Duration::from_secs(plan.either(2, 5));
    let since = Instant::now();
    let mut agent = Some(scene.take_agent()?);
    let site = &scene.site;
    let restarted = thread::scope(|scope| -> Result<()> {
        let attacked: Vec<_> = if users.is_empty() {
            vec![&site.third]
        } else {
            users.iter().collect()
        };
        let (stop, changes, has_child) = (&stop, &changes, users.is_empty());
        let attackers: Vec<_> = attacked
            .into_iter()
            .zip(SEED..)
            .map(|(netns, seed)| scope.spawn(move || churn(netns, has_child, seed, stop, changes)))
            .collect();
        let restarted = (0..rounds).try_for_each(|round| {
            thread::sleep(pace);
            agent.take().context("no agent is running")?.kill()?;
            let begun = Instant::now();
            agent = Some(stage::start_serving(&plan.ipvlan, site, &[])?);
            println!(
                "start {round} took {:?}, {:?} after the first change",
                begun.elapsed(),
                since.elapsed()
            );
            Ok::<_, anyhow::Error>(())
        });
        stop.store(true, Ordering::Relaxed);
        for attacker in attackers {
            attacker
                .join()
                .map_err(|_| anyhow!("an attacker panicked"))?;
        }
        restarted
    });
    scene.give_agent(agent);
    if let Err(error) = restarted {
        verdict.problems.push(format!("{error:#}"));
    }
    if !traffic.settle(stage::PATIENCE) {
        verdict.problems.push(traffic.unsettled());
    }
    println!("settled {:?} after the first change", since.elapsed());
    let judged = traffic.end()?;
    println!("judged {:?} after the first change", since.elapsed());
    let changes = changes.load(Ordering::Relaxed);
    verdict.agent(format!(
        "{} of {} packets and questions lost, {} wrong, under {changes} changes and {rounds} restarts",
        judged.tally.lost, judged.tally.sent, judged.tally.wrong
    ));
    verdict.expect(judged.tally.lost + judged.tally.wrong == 0, || {
        judged.problems.join("; ")
    });
    Ok(verdict)
}

/// Makes random changes until `stop`; most of them fail, as attempts of an attacker do.
fn churn(netns: &Netns, has_child: bool, seed: u64, stop: &AtomicBool, changes: &AtomicU64) {
    let mut random = Stream::new(seed);
    let mut number = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        let words = words(bytes, number, has_child);
        let words = words.iter().map(|word| OsStr::from_bytes(word));
        let _attempt = netns.command(Command::new("ip").args(words), "");
        // A container has a share of the processor, and others have theirs.
        thread::sleep(PAUSE);
        number += 1;
        changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// The words of one call of `ip`.
fn words(random: [u8; 8], number: u64, has_child: bool) -> Vec<Vec<u8>> {
    const KINDS: [&str; 9] = [
        "dummy", "veth", "bridge", "vlan", "macvlan", "ipvlan", "gre", "ifb", "vxlan",
    ];
    let [which, verb, first, second, third, length, ..] = random;
    let odd_name = || -> Vec<u8> {
        let name: Vec<u8> = random
            .iter()
            .copied()
            .filter(|byte| !matches!(byte, 0 | b'/' | b':' | b'%' | 9..=13 | b' '))
            .collect();
        if name.is_empty() { vec![0xff] } else { name }
    };
    let device: Vec<u8> = if has_child && which & 1 == 0 {
        CHILD.into()
    } else {
        format!("r{}", number % 8).into()
    };
    let text = |words: &str| -> Vec<Vec<u8>> { words.split(' ').map(Vec::from).collect() };
    let with_device = |before: &str, after: &str| -> Vec<Vec<u8>> {
        let mut words = text(before);
        words.push(device.clone());
        words.extend(text(after));
        words
    };
    match verb % 12 {
        0 => {
            let mut words = text("link add");
            words.push(odd_name());
            words.extend(text(&format!(
                "type {}",
                KINDS[usize::from(first) % KINDS.len()]
            )));
            words
        }
        1 => text(&format!(
            "link add r{} type {}",
            number % 8,
            KINDS[usize::from(first) % KINDS.len()]
        )),
        2 if !has_child || which & 1 == 1 => with_device("link del dev", "type dummy"),
        2 | 3 => with_device(
            &format!(
                "addr add 10.{first}.{second}.{third}/{} dev",
                8 + length % 25
            ),
            "noprefixroute",
        ),
        4 => with_device(
            &format!(
                "-6 addr add 2001:db8:{first:x}{second:02x}::{third:x}/{} dev",
                length % 129
            ),
            "nodad",
        ),
        5 => text(&format!("addr flush dev r{}", number % 8)),
        6 => with_device("link set dev", if first & 1 == 0 { "up" } else { "down" }),
        7 => with_device(
            "link set dev",
            &format!("mtu {}", 68 + u16::from(first) * 8),
        ),
        8 => with_device(
            &format!("route add 10.{first}.0.0/16 dev"),
            &format!("metric {second}"),
        ),
        9 => with_device("link set dev", &format!("txqueuelen {first}")),
        10 => with_device("link set dev", &format!("alias x{first}\u{1b}[31m{second}")),
        _ => text(&format!(
            "-6 neigh add 2001:db8::{first:x} lladdr 02:00:00:00:{second:02x}:{third:02x} dev r{}",
            number % 8
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_no_zero_byte() {
        let mut stream = Stream::new(1);
        for number in 0..5_000 {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            let words = words(bytes, number, number % 2 == 0);
            assert!(words.iter().all(|word| !word.contains(&0)), "{words:?}");
        }
    }
}
