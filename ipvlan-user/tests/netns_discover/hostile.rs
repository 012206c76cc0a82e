//! Netns that do their worst beside one that behaves: of that one every reading shows exactly what is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    net::IpAddr,
    os::unix::ffi::OsStringExt as _,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use ipvlan_user::{
    discover::{Dirty, Discover, Scope, Watch},
    facts::Snapshot,
};

use super::{
    lab::{Unnamed, discover, in_fresh_netns, settle},
    renewing::Dice,
};

/// How long they do it.
const TIME: Duration = Duration::from_secs(20);
/// How soon a change of the well-behaved netns shows.
const SOON: Duration = Duration::from_secs(1);
const HOSTILE: usize = 5;
const KINDS: [&str; 6] = [
    "dummy",
    "veth",
    "bridge",
    "ifb",
    "vcan",
    "macvlan link lo mode private",
];

/// A name that the kernel may accept: any bytes.
fn name(dice: &mut Dice) -> OsString {
    let length = 1 + dice.roll(15);
    let byte = |dice: &mut Dice| match u8::try_from(dice.roll(256)).unwrap_or_default() {
        0 | b'/' | b':' | b' ' | b'-' | b'\t'..=b'\r' => 0xff,
        byte => byte,
    };
    OsString::from_vec((0..length).map(|_| byte(dice)).collect())
}

/// Does something to a netns that may well fail.
fn attack(dice: &mut Dice, all: &[Unnamed]) {
    let pick = |dice: &mut Dice| usize::try_from(dice.roll(all.len() as u64)).unwrap_or_default();
    let (target, other) = (&all[pick(dice)], &all[pick(dice)]);
    let number = dice.roll(250);
    let ip = |words: &str| target.try_ip(words);
    match dice.roll(12) {
        0 | 1 => {
            let kind = KINDS[usize::try_from(dice.roll(6)).unwrap_or_default()];
            let mut arguments: Vec<OsString> = ["link", "add", "name"].map(OsString::from).into();
            arguments.push(name(dice));
            arguments.push("type".into());
            arguments.extend(kind.split(' ').map(OsString::from));
            target.try_ip_with(&arguments);
        }
        2 => {
            let mut arguments: Vec<OsString> = ["link", "set", "dev", "child0", "name"]
                .map(OsString::from)
                .into();
            arguments.push(name(dice));
            target.try_ip_with(&arguments);
        }
        3 => ip(["link set lo up", "link set child0 down"][usize::from(number < 125)]),
        4 => ip(&format!("link set child0 mtu {}", 60 + number * 6)),
        5 => ip("link set child0 up promisc on multicast off"),
        6 => {
            let link = ["lo", "child0"][usize::from(number < 125)];
            let addresses = (0..500 + number * 8).map(|address| {
                let (high, low) = (address / 250, address % 250);
                format!("addr add 10.{number}.{high}.{low}/32 dev {link}")
            });
            target.try_ip_batch(addresses);
        }
        7 => ip(["addr flush dev lo", "addr flush dev child0"][usize::from(number < 125)]),
        8 => {
            let change = |turn: u64| {
                let verb = ["add", "del"][usize::from(turn % 2 == 1)];
                format!("addr {verb} 192.0.2.{number}/32 dev lo")
            };
            target.try_ip_batch((0..2000).map(change));
        }
        9 => ip(&format!("link set child0 netns {}", other.pid())),
        10 => {
            // A user's netns with a link, which lives for a moment.
            let script = "ip link add veth0 type veth peer name veth1; sleep 0.2";
            let mut unshare = Command::new("unshare");
            unshare.args(["--user", "--map-root-user", "--net", "sh", "-c", script]);
            let _ended = unshare.stderr(Stdio::null()).status();
        }
        _ => ip("link del dev child0"),
    }
}

/// What a snapshot shows of the well-behaved netns: its children and their addresses.
fn shown(snapshot: &Snapshot, netns: &Unnamed) -> Option<BTreeMap<String, BTreeSet<IpAddr>>> {
    let mut all = snapshot.netnses.iter();
    let id = all.find(|it| it.pid == Some(netns.pid()))?.id;
    let children = snapshot.children_of(id).iter();
    let addresses = children.map(|child| {
        let v4 = child.addresses.iter().map(|it| it.local);
        (child.name.to_string(), v4.filter(IpAddr::is_ipv4).collect())
    });
    Some(addresses.collect())
}

fn start() -> (Discover, Snapshot) {
    let mut discover = discover();
    let first = discover.first(Scope::Everything, Duration::from_secs(1));
    let (snapshot, _) = first.expect("a start beside hostile netns");
    (discover, snapshot)
}

/// Reads what is dirty, as the agent does.
fn follow(discover: &mut Discover, snapshot: &mut Snapshot, dirty: &mut Dirty, scans: &mut bool) {
    let parts = std::mem::take(&mut dirty.parts);
    if !parts.is_empty() {
        let renewed = discover.renew(snapshot, &parts, None);
        dirty.parts = renewed.expect("parts beside hostile netns").dirty;
    }
    if (dirty.everything || dirty.later) && !*scans {
        let new = discover.begin(snapshot, Scope::Everything);
        dirty
            .parts
            .extend(new.expect("a scan beside hostile netns"));
        (dirty.everything, dirty.later, *scans) = (false, false, true);
    }
    if *scans {
        let chunk = Duration::from_millis(5);
        let renewed = discover.read_chunk(snapshot, chunk, None);
        if let Some(renewed) = renewed.expect("a chunk beside hostile netns") {
            dirty.parts.extend(renewed.dirty);
            *scans = false;
        }
    }
}

#[test]
fn whatever_hostile_netns_do_a_well_behaved_one_shows_exactly_within_a_second() {
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(1, |time| time.as_secs());
    println!("seed {seed}");
    in_fresh_netns(async || {
        let mut watch = Watch::new().expect("watch");
        let good = Unnamed::new();
        good.create_child("good0");
        good.ip("link set good0 up");
        let hostile: Arc<Vec<_>> = Arc::new((0..HOSTILE).map(|_| Unnamed::new()).collect());
        for netns in hostile.iter() {
            netns.create_child("child0");
        }
        let (mut discover, mut snapshot) = start();
        settle(&mut watch).await;

        let end = Instant::now() + TIME;
        let attackers = [1, 2].map(|thread| {
            let hostile = Arc::clone(&hostile);
            thread::spawn(move || {
                let mut dice = Dice(seed + thread);
                let mut attacks = 0;
                while Instant::now() < end {
                    attack(&mut dice, &hostile);
                    attacks += 1;
                    // Children come back, so that there is something to do.
                    let netns = usize::try_from(dice.roll(HOSTILE as u64)).unwrap_or_default();
                    hostile[netns].try_create_child("child0");
                }
                attacks
            })
        });
        let mut dirty = Dirty::everything();
        let mut scans = false;
        let mut expected = BTreeSet::new();
        let (mut changed, mut is_shown, mut worst) = (Instant::now(), true, Duration::ZERO);
        let (mut rounds, mut restarts) = (0_u8, 0);
        let mut restart = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            if is_shown && changed.elapsed() > Duration::from_millis(200) {
                let address: IpAddr = [198, 51, 100, 1 + rounds % 8].into();
                let is_new = expected.insert(address);
                if !is_new {
                    expected.remove(&address);
                }
                let verb = if is_new { "add" } else { "del" };
                good.ip(&format!("addr {verb} {address}/32 dev good0"));
                (changed, is_shown) = (Instant::now(), false);
                rounds = rounds.wrapping_add(1);
            }
            let waited = tokio::time::timeout(Duration::from_millis(5), watch.wake()).await;
            if let Ok(wake) = waited {
                dirty.add(discover.dirty(&snapshot, &wake.expect("wake")));
            }
            follow(&mut discover, &mut snapshot, &mut dirty, &mut scans);
            let exactly = BTreeMap::from([("good0".to_owned(), expected.clone())]);
            let took = changed.elapsed();
            match shown(&snapshot, &good) {
                shown if shown.as_ref() == Some(&exactly) => {
                    if !is_shown {
                        worst = worst.max(took);
                    }
                    is_shown = true;
                }
                shown => assert!(
                    !is_shown && took < SOON,
                    "seed {seed}: after {took:?} {shown:?} is not {exactly:?}"
                ),
            }
            if is_shown && Instant::now() > restart {
                (discover, snapshot) = start();
                (dirty, scans) = (Dirty::everything(), false);
                assert_eq!(shown(&snapshot, &good), Some(exactly), "seed {seed}");
                restarts += 1;
                restart = Instant::now() + Duration::from_secs(2);
            }
        }
        let attacks: u32 = attackers
            .into_iter()
            .map(|thread| thread.join().expect("attacker"))
            .sum();
        println!("{attacks} attacks, {rounds} changes, {restarts} restarts, slowest {worst:?}");
        assert!(attacks > 20 && rounds > 5 && restarts > 2);
    });
}

#[test]
fn a_link_of_another_netns_can_have_any_name() {
    in_fresh_netns(async || {
        let good = Unnamed::new();
        good.create_child("good0");
        let hostile = Unnamed::new();
        hostile.create_child("child0");
        let names = [&b"\xff"[..], b"\x1b[31m", b"\xe2\x80\xae0hte", b"\\xff"];
        for name in names {
            let rename = |from: OsString, to: &[u8]| {
                let mut arguments = ["link", "set", "dev"].map(OsString::from).to_vec();
                arguments.extend([from, "name".into(), OsString::from_vec(to.into())]);
                hostile.try_ip_with(&arguments);
            };
            rename("child0".into(), name);
            let (_, snapshot) = start();
            let of_hostile = snapshot.children.iter().find(|it| it.name != "good0");
            assert_eq!(of_hostile.expect("its child").name.as_bytes(), name);
            assert_eq!(snapshot.children.len(), 2);
            rename(OsString::from_vec(name.into()), b"child0");
        }
    });
}

#[test]
fn beside_a_netns_of_many_addresses_that_never_rests_every_start_succeeds() {
    in_fresh_netns(async || {
        let (good, busy) = (Unnamed::new(), Arc::new(Unnamed::new()));
        good.create_child("good0");
        good.ip("addr add 192.0.2.7/32 dev good0");
        busy.create_child("child0");
        let address = |number| format!("10.{}.{}.1/32", number / 250, number % 250);
        busy.try_ip_batch(
            (0..6000).map(|number| format!("addr add {} dev child0", address(number))),
        );
        let end = Instant::now() + Duration::from_secs(6);
        let churn = {
            let busy = Arc::clone(&busy);
            thread::spawn(move || {
                while Instant::now() < end {
                    let change = |turn: usize| {
                        let verb = ["add", "del"][turn % 2];
                        let link = ["lo", "child0"][turn / 2 % 2];
                        format!("addr {verb} 192.0.2.{}/32 dev {link}", turn / 4 % 250)
                    };
                    busy.try_ip_batch((0..2000).map(change));
                }
            })
        };
        let mut starts = 0;
        while Instant::now() < end {
            let (_, snapshot) = start();
            let exactly = BTreeSet::from([IpAddr::from([192, 0, 2, 7])]);
            let expected = BTreeMap::from([("good0".to_owned(), exactly)]);
            assert_eq!(shown(&snapshot, &good), Some(expected));
            let all = snapshot.netnses.iter();
            let id = all.filter(|it| it.pid == Some(busy.pid())).map(|it| it.id);
            for id in id {
                let child = snapshot.children_of(id).first();
                // All that its quota allows, or nothing and noted.
                assert_eq!(child.is_none(), snapshot.unread.contains(&id));
                if let Some(child) = child {
                    assert!(child.over_quota && child.addresses.len() == 4096);
                }
            }
            starts += 1;
        }
        churn.join().expect("churn");
        println!("{starts} starts");
        assert!(starts >= 3);
    });
}
