//! A hostile netns beside a well-behaved one: random changes in a container and in netns of users, while the
//! agent is killed and started again. The well-behaved addresses are asked for all the time.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, sync::atomic::AtomicU64};

use crate::{
    faults::traffic::{Expect, Traffic},
    probe::stream::Stream,
    rows::prelude::*,
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "all",
        Container,
        "random links, addresses, names, MTUs, routes and flags in a container's netns; restarts",
        "every address of others answered within 1 s all the time",
        Run::Each(L3, |scene| play(scene, &[])),
    )
    .on_any_kernel(),
    Row::new(
        "all",
        User,
        "the same in three netns of an unprivileged user",
        "every address of others answered within 1 s all the time",
        Run::Each(L3, in_user_netns),
    )
    .on_any_kernel(),
];

/// Within which everything is as it should be.
const HEALED: Duration = Duration::from_secs(1);
/// Between two changes.
const PAUSE: Duration = Duration::from_millis(5);
/// What is random here, so that a run can be repeated.
const SEED: u64 = 12;

fn in_user_netns(scene: &mut Scene) -> Result<()> {
    let netns = ["user0", "user1", "user2"].map(Netns::of_user);
    play(scene, &netns.into_iter().collect::<Result<Vec<_>>>()?)
}

/// Plays random changes in `users`, or in the container if there are none.
fn play(scene: &mut Scene, users: &[Netns]) -> Result<()> {
    let unanswered = STEADY_ADDRESSES - scene.steady_answered()?;
    scene.alone(format!("{unanswered} addresses of others are not answered"));
    scene.start(&[])?;
    let mut traffic = Traffic::start(&scene.site, HEALED)?;
    // The container is the attacker's; nothing is expected of it.
    let either = THIRD.both().map(|address| (address, Expect::Either));
    traffic.change(&either, || Ok(()))?;
    let changes = AtomicU64::new(0);
    let rounds = scene.play.plan.either(3, 20);
    let pace = Duration::from_secs(scene.play.plan.either(2, 5));
    let since = Instant::now();
    let mut agent = Some(scene.take_agent()?);
    let site = &scene.site;
    let attacked: Vec<_> = if users.is_empty() {
        vec![&site.third]
    } else {
        users.iter().collect()
    };
    let attack = |stop: &AtomicBool| {
        thread::scope(|scope| {
            for (netns, seed) in attacked.into_iter().zip(SEED..) {
                let has_child = users.is_empty();
                let changes = &changes;
                scope.spawn(move || churn(netns, has_child, seed, stop, changes));
            }
        });
        Ok(())
    };
    let restarted = beside(attack, || {
        for round in 0..rounds {
            thread::sleep(pace);
            agent.take().context("no agent is running")?.kill()?;
            agent = Some(scene.spawn(&[])?);
            println!(
                "start {round}, {:?} after the first change",
                since.elapsed()
            );
        }
        Ok(())
    });
    scene.give_agent(agent);
    if let Err(error) = restarted {
        scene.play.problem(format!("{error:#}"));
    }
    let settled = traffic.settle(PATIENCE);
    scene.expect(settled, || traffic.unsettled());
    println!("settled {:?} after the first change", since.elapsed());
    let judged = traffic.end()?;
    println!("judged {:?} after the first change", since.elapsed());
    let changes = changes.load(Ordering::Relaxed);
    scene.with_agent(format!(
        "{} of {} packets and questions lost, {} wrong, under {changes} changes and {rounds} restarts",
        judged.tally.lost, judged.tally.sent, judged.tally.wrong
    ));
    scene.expect(judged.tally.lost + judged.tally.wrong == 0, || {
        judged.problems.join("; ")
    });
    Ok(())
}

/// Makes random changes until `stop`; most of them fail, as attempts of an attacker do.
fn churn(netns: &Netns, has_child: bool, seed: u64, stop: &AtomicBool, changes: &AtomicU64) {
    let mut random = Stream::new(seed);
    let mut number = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let words = words(random.number().to_le_bytes(), number, has_child);
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
    let made = format!("r{}", number % 8);
    let device = if has_child && which & 1 == 0 {
        CHILD
    } else {
        &made
    };
    let kind = KINDS[usize::from(first) % KINDS.len()];
    let state = if first & 1 == 0 { "up" } else { "down" };
    let prefix = 8 + length % 25;
    let words = match verb % 12 {
        // The name need not be text.
        0 => {
            let text = format!("link add NAME type {kind}");
            let words = text.split(' ').map(Vec::from);
            let named = |word: Vec<u8>| if word == b"NAME" { odd_name() } else { word };
            return words.map(named).collect();
        }
        1 => format!("link add {made} type {kind}"),
        2 if !has_child || which & 1 == 1 => format!("link del dev {device} type dummy"),
        2 | 3 => {
            format!("addr add 10.{first}.{second}.{third}/{prefix} dev {device} noprefixroute")
        }
        4 => {
            let length = length % 129;
            format!(
                "-6 addr add 2001:db8:{first:x}{second:02x}::{third:x}/{length} dev {device} nodad"
            )
        }
        5 => format!("addr flush dev {made}"),
        6 => format!("link set dev {device} {state}"),
        7 => format!("link set dev {device} mtu {}", 68 + u16::from(first) * 8),
        8 => format!("route add 10.{first}.0.0/16 dev {device} metric {second}"),
        9 => format!("link set dev {device} txqueuelen {first}"),
        10 => format!("link set dev {device} alias x{first}\u{1b}[31m{second}"),
        _ => format!(
            "-6 neigh add 2001:db8::{first:x} lladdr 02:00:00:00:{second:02x}:{third:02x} dev {made}"
        ),
    };
    words.split(' ').map(Vec::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_no_zero_byte() {
        let mut random = Stream::new(1);
        for number in 0..5_000 {
            let words = words(random.number().to_le_bytes(), number, number % 2 == 0);
            assert!(words.iter().all(|word| !word.contains(&0)), "{words:?}");
        }
    }
}
