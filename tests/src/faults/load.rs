//! More at once than fits: into the agent's receive buffer, into its maps.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::{
    receive_buffer,
    row::Row,
    site::{CHILD, LAN, PARENT},
    stage::{Stage, ask},
    traffic::Expect,
    truth,
};

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "churn of addresses in many netns, receive buffer overrun",
        churn,
    )
    .on_any_kernel(),
    Row::new("map full, then not (--max-addresses 12)", full)
        .with(&["--max-addresses", "12"])
        .on_any_kernel(),
];

/// How many addresses a row asks about, of many.
const SAMPLES: usize = 4;

/// Makes and takes away addresses while the agent cannot keep up: its receive buffer is made tiny, and
/// for a while it does not run at all. What is there in the end counts.
fn churn(stage: &mut Stage) -> Result<()> {
    let (netnses, addresses) = stage.plan.either((10, 20), (100, 100));
    for number in 0..netnses {
        stage.site.add_netns(&format!("churn{number}"))?;
    }
    for netns in &stage.site.others {
        netns.add_ipvlan(&stage.site.host, PARENT, CHILD, "l3")?;
        netns.ip(&format!("link set {CHILD} up\n"))?;
    }
    let before = stage.status()?["sync"].clone();
    receive_buffer::shrink(stage.agent()?.pid())?;
    let (kept, deleted) = samples(netnses, addresses);
    let unknown: Vec<_> = [&kept, &deleted].into_iter().flatten().copied().collect();
    stage.traffic.expect(&all(&unknown, Expect::Either));
    let begun = Instant::now();
    for number in 0..netnses {
        if number % 10 == 9 {
            println!("{} netns", number + 1);
        }
        // In the middle of it, it stands still.
        if number == netnses / 2 {
            stage.agent()?.signal(Signal::SIGSTOP)?;
        }
        let lines = |verb: &str, which: &[usize]| -> String {
            let line = |last: &usize| {
                let address = address(number, *last);
                format!("addr {verb} {address}/32 dev {CHILD}\n")
            };
            which.iter().map(line).collect::<Vec<_>>().concat()
        };
        let all: Vec<_> = (0..addresses).collect();
        let odd: Vec<_> = (1..addresses).step_by(2).collect();
        let add = lines("add", &all);
        let delete = lines("del", &odd);
        stage.site.others[number].ip(&(add + &delete))?;
    }
    println!(
        "{} changes in {:.1} s",
        netnses * addresses * 3 / 2,
        begun.elapsed().as_secs_f32()
    );
    let expected = [all(&kept, Expect::Answered), all(&deleted, Expect::Silent)].concat();
    stage.wake(&expected)?;
    stage.settle()?;
    let found = stage.difference()?;
    stage.expect(found.is_none(), || {
        format!("agent and kernel differ: {found:?}")
    });
    let after = stage.status()?["sync"].clone();
    let overruns = |sync: &serde_json::Value| sync["overruns"].as_u64().unwrap_or(0);
    stage.expect(overruns(&after) > overruns(&before), || {
        format!("nothing was overrun: {after}")
    });
    let whole = |sync: &serde_json::Value| sync["whole"].as_u64().unwrap_or(0);
    let (syncs, took) = (whole(&after) - whole(&before), begun.elapsed());
    // A status is a sync of its own.
    let most = 10.0 * took.as_secs_f64() + 2.0;
    stage.expect(f64::from(u32::try_from(syncs)?) <= most, || {
        format!("everything was read {syncs} times within {took:?}")
    });
    let others = std::mem::take(&mut stage.site.others);
    stage.traffic.change(&all(&unknown, Expect::Either), || {
        drop(others);
        Ok(())
    })?;
    stage.traffic.expect(&all(&unknown, Expect::Silent));
    Ok(())
}

/// Addresses that stay, and addresses that go, of the first and the last netns.
fn samples(netnses: usize, addresses: usize) -> (Vec<IpAddr>, Vec<IpAddr>) {
    let ends = [0, netnses - 1];
    let of = |odd: usize| {
        ends.into_iter()
            .flat_map(|number| [odd, addresses - 2 + odd].map(|last| address(number, last)))
            .take(SAMPLES)
            .collect()
    };
    (of(0), of(1))
}

fn address(netns: usize, last: usize) -> IpAddr {
    let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    Ipv4Addr::new(10, 7, byte(netns), byte(last)).into()
}

fn all(addresses: &[IpAddr], expect: Expect) -> Vec<(IpAddr, Expect)> {
    addresses.iter().map(|address| (*address, expect)).collect()
}

/// What was there goes on working, what is new is refused and told of, and there is room again when
/// something goes.
fn full(stage: &mut Stage) -> Result<()> {
    let many: Vec<_> = (130..150)
        .map(|last| Ipv4Addr::new(172, 16, 91, last))
        .collect();
    let lines = |verb: &str, which: &[Ipv4Addr]| -> String {
        let line = |address| format!("addr {verb} {address}/32 dev {CHILD}\n");
        which.iter().map(line).collect::<Vec<_>>().concat()
    };
    stage.site.third.ip(&lines("add", &many))?;
    stage.wait_parent("telling that there is no room", |parent| {
        parent["state"] == "degraded" && parent["reason"].to_string().contains("full")
    })?;
    // The other children's, all the time.
    thread::sleep(Duration::from_millis(300));
    let vm01 = &stage.site.vm01;
    let addresses: Vec<IpAddr> = many.iter().copied().map(IpAddr::V4).collect();
    let mut answered = 0;
    for address in &many {
        let named = ask(vm01, LAN, *address, Duration::from_millis(100))?;
        answered += usize::from(named.is_some());
    }
    ensure!(
        (1..many.len()).contains(&answered),
        "{answered} of {} are answered for in a map with room for 12",
        many.len()
    );
    let status = stage.status()?;
    let told = truth::refusals(&status, &addresses).len();
    stage.expect(told == many.len() - answered, || {
        format!(
            "{answered} of {} are answered for, and {told} shown as refused",
            many.len()
        )
    });
    let (last, rest) = many.split_last().context("none")?;
    stage.site.third.ip(&lines("del", rest))?;
    stage.traffic.expect(&[((*last).into(), Expect::Answered)]);
    let gone = all(&addresses[..rest.len()], Expect::Silent);
    stage.traffic.expect(&gone);
    stage.settle().context("there is room")?;
    stage.change(&[((*last).into(), Expect::Silent)], |site| {
        site.third.ip(&lines("del", &[*last]))
    })?;
    stage.wait_parent("ready", |parent| parent["state"] == "ready")
}
