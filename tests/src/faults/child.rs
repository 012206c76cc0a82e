//! Children and their netns come, go, move and change, from outside and from inside.

use nix::sys::signal::Signal;

use super::{
    row::Row,
    stage::Stage,
    traffic::{Expect, expected},
};
use crate::rows::{prelude::*, site::configure_child};

pub(super) const ROWS: &[Row] = &[
    Row::new("child made right in a netns nobody knew", appears),
    Row::new("netns with a child deleted", deleted).within(200),
    Row::new("netns deleted that got no nsid", never_seen).within(200),
    Row::new("child moved from A to C, from inside of A", moved),
    Row::new("child down, up", down),
    Row::new("child renamed", renamed).on_any_kernel(),
    Row::new(
        "mode flipped to l2 and back, from inside of a netns",
        flipped,
    )
    .asked_meanwhile(),
    Row::new("sibling isolation switched on: private, vepa", isolated),
    Row::new("a child's address on a second child", twice).on_any_kernel(),
    Row::new("host takes a child's address", host_takes).on_any_kernel(),
    Row::new(
        "child takes the host's and the gateway's address",
        child_takes,
    )
    .on_any_kernel(),
    Row::new(
        "child takes a neighbour's address (--dad enforce)",
        neighbour,
    )
    .with(&["--dad", "enforce"])
    .within(10_000)
    .on_any_kernel(),
];

const NEW: Pair = Pair::new(110);
const MOVED: Pair = Pair::new(111);
/// Another address of the host.
const OTHER: Pair = Pair::new(15);
/// Who has not answered by then will not.
const SILENCE: Duration = Duration::from_millis(300);

/// Adds a netns with a child that has `pair`; returns its place among the others.
fn add(stage: &mut Stage, label: &str, pair: Pair) -> Result<usize> {
    let place = stage.add_netns(label)?;
    stage.change(&expected(pair, Expect::Answered), |site| {
        site.add_child(&site.others[place], pair)
    })?;
    Ok(place)
}

/// Removes the other netns, and with it the child that has `pair`.
fn remove(stage: &mut Stage, pair: Pair) -> Result<()> {
    let others = std::mem::take(&mut stage.others);
    stage.change(&expected(pair, Expect::Silent), |_| {
        drop(others);
        Ok(())
    })
}

fn appears(stage: &mut Stage) -> Result<()> {
    add(stage, "new", NEW)?;
    remove(stage, NEW)
}

fn deleted(stage: &mut Stage) -> Result<()> {
    let place = stage.add_netns("new")?;
    // How fast it is found is another row's.
    stage.add_child(&stage.others[place], NEW)?;
    stage.traffic.expect(&expected(NEW, Expect::Either));
    thread::sleep(SILENCE);
    remove(stage, NEW)
}

/// It comes and goes while nobody can look.
fn never_seen(stage: &mut Stage) -> Result<()> {
    stage.agent()?.signal(Signal::SIGSTOP)?;
    let place = stage.add_netns("new")?;
    stage.add_child(&stage.others[place], NEW)?;
    stage.others.clear();
    stage.wake(&expected(NEW, Expect::Silent))
}

fn moved(stage: &mut Stage) -> Result<()> {
    let from = add(stage, "a", NEW)?;
    let to = stage.add_netns("c")?;
    let changes = [
        expected(NEW, Expect::Silent),
        expected(MOVED, Expect::Answered),
    ];
    stage.change(&changes.concat(), |site| {
        let (from, to) = (&site.others[from], &site.others[to]);
        from.ip(&format!("link set {CHILD} netns {}\n", to.reference()))?;
        configure_child(to, MOVED)
    })?;
    remove(stage, MOVED)
}

fn down(stage: &mut Stage) -> Result<()> {
    for (state, expect) in [("down", Expect::Silent), ("up", Expect::Answered)] {
        stage.change(&expected(THIRD, expect), |site| {
            site.third.ip(&format!("link set {CHILD} {state}\n"))
        })?;
    }
    restore_routes(stage)
}

/// Routes of a child are lost when it goes down.
fn restore_routes(site: &Site) -> Result<()> {
    site.third.ip(&default_routes(CHILD, None))
}

fn renamed(stage: &mut Stage) -> Result<()> {
    for (from, to) in [(CHILD, "renamed0"), ("renamed0", CHILD)] {
        stage.traffic.expect(&expected(THIRD, Expect::Either));
        stage.change(&expected(THIRD, Expect::Answered), |site| {
            site.third.ip(&format!(
                "link set {from} down\nlink set {from} name {to}\nlink set {to} up\n"
            ))
        })?;
        stage.expect_agreement(&format!("named {to}"))?;
    }
    restore_routes(stage)
}

/// One container can do this to all.
fn flipped(stage: &mut Stage) -> Result<()> {
    for mode in ["l2", "l3"] {
        stage.outage(|site| {
            site.third
                .ip(&format!("link set {CHILD} type ipvlan mode {mode}\n"))
        })?;
        stage.expect_eq("the mode", stage.parent()?.mode.as_deref(), Some(mode));
    }
    Ok(())
}

/// On a parent of its own. What the driver forbids stays forbidden, and the host reaches its children.
fn isolated(stage: &mut Stage) -> Result<()> {
    let Site {
        lab, host, vm01, ..
    } = &stage.scene.site;
    connect(host, "ens35", vm01, "eth1")?;
    host.ip("addr add 10.35.0.1/24 dev ens35\n")?;
    let (one, other) = (lab.netns("one")?, lab.netns("other")?);
    for (netns, last) in [(&one, 2), (&other, 3)] {
        netns.add_ipvlan(host, "ens35", CHILD, "l3")?;
        netns.ip(&format!(
            "link set {CHILD} up\naddr add 10.35.0.{last}/24 dev {CHILD}\nroute add default dev {CHILD}\n"
        ))?;
    }
    let second = stage.second("ens35")?;
    let target = |last| IpAddr::from([10, 35, 0, last]);
    for flag in ["bridge", "private", "vepa", "bridge"] {
        one.ip(&format!("link set {CHILD} type ipvlan mode l3 {flag}\n"))?;
        let together = flag == "bridge";
        // What is forbidden now may still be done for a moment.
        let begun = Instant::now();
        let as_it_should = || Ok(one.run(|| ping(None, target(3), SILENCE))? == together);
        let siblings = wait_for("siblings", as_it_should);
        stage
            .traffic
            .healed(begun.elapsed().saturating_sub(SILENCE));
        let from_host = host.run(|| ping(None, target(2), PATIENCE))?;
        let to_host = other.run(|| ping(None, target(1), PATIENCE))?;
        let found = (siblings.is_ok(), from_host, to_host);
        let what = format!("{flag}: siblings as they should be, from the host, to the host");
        stage.scene.expect_eq(&what, found, (true, true, true));
    }
    second.stop()?;
    host.ip("link del ens35\n")
}

/// The kernel refuses it, also while the first child is down.
fn twice(stage: &mut Stage) -> Result<()> {
    for taken in [STEADY, DOWN] {
        let added = format!("addr add {}/24 dev {CHILD}\n", taken.v4);
        let refused = stage.third.ip(&added).is_err();
        stage.expect(refused, || format!("{} is on two children", taken.v4));
        stage.settle()?;
    }
    Ok(())
}

/// Adds or deletes the IPv4 address of `pair` as a single one; after it, it is answered or not.
fn set(
    stage: &mut Stage,
    netns: fn(&Site) -> &Netns,
    [verb, device]: [&str; 2],
    pair: Pair,
    expect: Expect,
) -> Result<()> {
    stage.change(&[(pair.v4.into(), expect)], |site| {
        let address = pair.v4;
        netns(site).ip(&format!("addr {verb} {address}/32 dev {device}\n"))
    })
}

fn host(site: &Site) -> &Netns {
    &site.host
}

fn third(site: &Site) -> &Netns {
    &site.third
}

fn host_takes(stage: &mut Stage) -> Result<()> {
    // In l3 the driver takes the question from the host.
    set(stage, host, ["add", "lo"], THIRD, Expect::Silent)?;
    reported(stage, THIRD.v4, "host_address")?;
    set(stage, host, ["del", "lo"], THIRD, Expect::Answered)
}

/// Requires that `address` is refused for `reason`, and that its conflict is reported.
fn reported(stage: &Stage, address: Ipv4Addr, reason: &str) -> Result<()> {
    stage.expect_refused([address.into()], reason)?;
    let conflicts = stage.parent()?.conflicts;
    let is_reported = conflicts.iter().any(|it| it.address == address);
    stage.expect(is_reported, || {
        format!("no conflict about {address}: {conflicts:?}")
    });
    Ok(())
}

/// The kernel lets it. An address that the host needs for its packets is not taken: nobody would reach it
/// meanwhile, whoever answers.
fn child_takes(stage: &mut Stage) -> Result<()> {
    let own = format!("addr add {}/32 dev {PARENT}\n", OTHER.v4);
    stage.host.ip(&own)?;
    for (taken, reason) in [(GATEWAY, "gateway_address"), (OTHER, "host_address")] {
        set(stage, third, ["add", CHILD], taken, Expect::Silent)?;
        reported(stage, taken.v4, reason)?;
        let gone = format!("addr del {}/32 dev {CHILD}\n", taken.v4);
        stage.third.ip(&gone)?;
        // The host answers for its own again.
        if taken == OTHER {
            stage.change(&[(OTHER.v4.into(), Expect::Answered)], |_| Ok(()))?;
        }
    }
    set(stage, host, ["del", PARENT], OTHER, Expect::Silent)
}

/// With `--dad enforce`: nothing is answered for before it is known that nobody else has it.
fn neighbour(stage: &mut Stage) -> Result<()> {
    let address = NEIGHBOUR.v4;
    set(stage, third, ["add", CHILD], NEIGHBOUR, Expect::Silent)?;
    stage.wait_parent("reporting the duplicate", |parent| {
        parent.conflicts("lan_station", address.into())
    })?;
    reported(stage, address, "duplicate")?;
    stage.settle()?;
    let gone = format!("addr del {address}/32 dev {CHILD}\n");
    stage.third.ip(&gone)
}
