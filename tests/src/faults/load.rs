//! More at once than fits: into the agent's receive buffer, into its maps.

use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        socket::{getsockopt, setsockopt, sockopt::RcvBuf},
    },
};

use super::{
    row::Row,
    stage::{Stage, ask},
    traffic::Expect,
};
use crate::{netns::descriptor, rows::prelude::*};

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

/// Room for a few messages; less the kernel does not give.
const TINY: usize = 2304;
/// Only the one for events has so much room.
const LARGE: usize = 1 << 20;

/// How many addresses a row asks about, of many.
const SAMPLES: usize = 4;

/// Makes and takes away addresses while the agent cannot keep up: its receive buffer is made tiny, and
/// for a while it does not run at all. What is there in the end counts.
fn churn(stage: &mut Stage) -> Result<()> {
    let (netnses, addresses) = stage.play.plan.either((10, 20), (100, 100));
    for number in 0..netnses {
        stage.add_netns_with_child(&format!("churn{number}"))?;
    }
    let syncs = |stage: &Stage| -> Result<[u64; 2]> {
        let status = stage.agent()?.status()?;
        Ok(["overruns", "whole"].map(|count| status["sync"][count].as_u64().unwrap_or(0)))
    };
    let before = syncs(stage)?;
    shrink_receive_buffers(stage.agent()?.pid())?;
    let (kept, deleted) = samples(netnses, addresses);
    let unknown = [&kept[..], &deleted].concat();
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
        let all: Vec<_> = (0..addresses).map(|last| address(number, last)).collect();
        let odd: Vec<_> = all.iter().copied().skip(1).step_by(2).collect();
        stage.others[number].ip(&(lines("add", &all) + &lines("del", &odd)))?;
    }
    println!(
        "{} changes in {:.1} s",
        netnses * addresses * 3 / 2,
        begun.elapsed().as_secs_f32()
    );
    let expected = [all(&kept, Expect::Answered), all(&deleted, Expect::Silent)].concat();
    stage.wake(&expected)?;
    stage.settle()?;
    stage.expect_agreement("agent and kernel differ")?;
    let [overruns, whole] = syncs(stage)?;
    stage.expect_least("overruns", overruns, before[0] + 1);
    // A status is a sync of its own.
    let most = begun.elapsed().as_millis() / 100 + 2;
    stage.expect_most("everything was read", (whole - before[1]).into(), most);
    let others = std::mem::take(&mut stage.others);
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

/// Returns the lines that add or delete these addresses of a child, as single ones.
fn lines(verb: &str, addresses: &[IpAddr]) -> String {
    let line = |address| format!("addr {verb} {address}/32 dev {CHILD}\n");
    addresses.iter().map(line).collect()
}

fn all(addresses: &[IpAddr], expect: Expect) -> Vec<(IpAddr, Expect)> {
    addresses.iter().map(|address| (*address, expect)).collect()
}

/// What was there goes on working, what is new is refused and reported, and there is room again when something goes.
fn full(stage: &mut Stage) -> Result<()> {
    let many: Vec<_> = (130..150).map(Pair::new).collect();
    let addresses: Vec<IpAddr> = many.iter().map(|pair| pair.v4.into()).collect();
    stage.third.ip(&lines("add", &addresses))?;
    stage.wait_parent("reporting that there is no room", |parent| {
        let is_full = |reason: &String| reason.contains("full");
        parent.state == "degraded" && parent.reason.as_ref().is_some_and(is_full)
    })?;
    // The other children's, all the time.
    thread::sleep(Duration::from_millis(300));
    let mut answered = 0;
    for pair in &many {
        let named = ask(&stage.vm01, LAN, *pair, Duration::from_millis(100))?;
        answered += usize::from(named.is_some());
    }
    ensure!(
        (1..many.len()).contains(&answered),
        "{answered} of {} are answered for in a map with room for 12",
        many.len()
    );
    let refused = stage.refusals(&addresses)?.len();
    stage.expect_eq("shown as refused", refused, many.len() - answered);
    let (last, rest) = addresses.split_last().context("none")?;
    stage.third.ip(&lines("del", rest))?;
    stage.traffic.expect(&[(*last, Expect::Answered)]);
    stage.traffic.expect(&all(rest, Expect::Silent));
    stage.settle().context("there is room")?;
    stage.change(&[(*last, Expect::Silent)], |site| {
        site.third.ip(&lines("del", &[*last]))
    })?;
    stage.wait_parent("ready", |parent| parent.state == "ready")
}

/// Makes every large receive buffer of `process` tiny, so that the kernel overruns it. Options are those of a socket,
/// not of a process: `pidfd_getfd` duplicates the descriptors of the agent.
fn shrink_receive_buffers(process: u32) -> Result<()> {
    let process_fd = opened(libc::SYS_pidfd_open, [process.into(), 0])?;
    let mut shrunk = 0;
    let directory = format!("/proc/{process}/fd");
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot list {directory}"))? {
        let entry = entry?;
        let is_socket =
            fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
        let number: Option<RawFd> = entry.file_name().to_string_lossy().parse().ok();
        let (true, Some(number)) = (is_socket, number) else {
            continue;
        };
        let of_process = [process_fd.as_raw_fd().into(), number.into()];
        let socket = opened(libc::SYS_pidfd_getfd, of_process)?;
        if getsockopt(&socket, RcvBuf).is_ok_and(|room| room >= LARGE) {
            setsockopt(&socket, RcvBuf, &TINY).context("cannot shrink a receive buffer")?;
            shrunk += 1;
        }
    }
    ensure!(shrunk > 0, "the agent has no large receive buffer");
    Ok(())
}

/// Makes a system call that returns a descriptor.
fn opened(call: libc::c_long, numbers: [libc::c_long; 2]) -> Result<OwnedFd> {
    // SAFETY: `pidfd_open` and `pidfd_getfd` take numbers, zero for their flags.
    descriptor(Errno::result(unsafe {
        libc::syscall(call, numbers[0], numbers[1], 0)
    })?)
}
