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
    discover::{Dirty, Discover, Scope, Wake},
    facts::Snapshot,
};
use tokio::time::timeout;

use super::{
    lab::{Container, Lab, on_host},
    renewing::Dice,
};

/// How long they do it.
const TIME: Duration = Duration::from_secs(20);
/// How soon a change of the well-behaved netns shows.
const SOON: Duration = Duration::from_secs(1);
/// How often the agent restarts.
const RESTART: Duration = Duration::from_secs(2);
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
    let byte = |dice: &mut Dice| match u8::try_from(dice.roll(256)).unwrap() {
        0 | b'/' | b':' | b' ' | b'-' | b'\t'..=b'\r' => 0xff,
        byte => byte,
    };
    let length = 1 + dice.roll(15);
    OsString::from_vec((0..length).map(|_| byte(dice)).collect())
}

/// Words of `ip` around a name.
fn around(before: &str, name: OsString, behind: &str) -> Vec<OsString> {
    let words = |text: &str| {
        text.split_whitespace()
            .map(OsString::from)
            .collect::<Vec<_>>()
    };
    [words(before), vec![name], words(behind)].concat()
}

/// Does something to a netns that may well fail.
fn attack(dice: &mut Dice, all: &[Container]) {
    let (target, other) = (&all[dice.pick(all.len())], &all[dice.pick(all.len())]);
    let number = dice.roll(250);
    let either = usize::from(number < 125);
    let link = ["lo", "child0"][either];
    let ip = |words: &str| target.try_ip(words.split(' '));
    match dice.roll(12) {
        0 | 1 => {
            let kind = format!("type {}", KINDS[dice.pick(KINDS.len())]);
            target.try_ip(around("link add name", name(dice), &kind));
        }
        2 => target.try_ip(around("link set dev child0 name", name(dice), "")),
        3 => ip(["link set lo up", "link set child0 down"][either]),
        4 => ip(&format!("link set child0 mtu {}", 60 + number * 6)),
        5 => ip("link set child0 up promisc on multicast off"),
        6 => {
            let addresses = (0..500 + number * 8).map(|address| {
                let (high, low) = (address / 250, address % 250);
                format!("addr add 10.{number}.{high}.{low}/32 dev {link}")
            });
            target.try_ip_batch(addresses);
        }
        7 => ip(&format!("addr flush dev {link}")),
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

/// Children of the well-behaved netns, and their addresses.
type Shown = BTreeMap<String, BTreeSet<IpAddr>>;

/// What a snapshot shows of it.
fn shown(snapshot: &Snapshot, good: &Container) -> Shown {
    let id = good.try_id(snapshot);
    let children = id.map_or(&[][..], |id| snapshot.children_of(id));
    let addresses = children.iter().map(|child| {
        let v4 = child.addresses.iter().map(|it| it.local);
        (child.name.to_string(), v4.filter(IpAddr::is_ipv4).collect())
    });
    addresses.collect()
}

/// What it is to show.
fn exactly(addresses: &BTreeSet<IpAddr>) -> Shown {
    BTreeMap::from([("good0".to_owned(), addresses.clone())])
}

fn start() -> (Discover, Snapshot) {
    let mut discover = Lab::new().discover;
    let first = discover.first(Scope::Everything, Duration::from_secs(1));
    let (snapshot, _) = first.expect("a start beside hostile netns");
    (discover, snapshot)
}

/// What an agent has read, and what it still is to read.
struct Follower {
    discover: Discover,
    snapshot: Snapshot,
    dirty: Dirty,
    scans: bool,
}

impl Follower {
    fn start() -> Self {
        let (discover, snapshot) = start();
        Self {
            discover,
            snapshot,
            dirty: Dirty::everything(),
            scans: false,
        }
    }

    fn wake(&mut self, wake: &Wake) {
        let dirty = self.discover.dirty(&self.snapshot, wake);
        self.dirty.add(dirty);
    }

    /// Reads what is dirty, as the agent does.
    fn follow(&mut self) {
        let Self {
            discover,
            snapshot,
            dirty,
            scans,
        } = self;
        let parts = std::mem::take(&mut dirty.parts);
        if !parts.is_empty() {
            let renewed = discover.renew(snapshot, &parts, None);
            dirty.parts = renewed.expect("parts beside hostile netns").dirty;
        }
        if (dirty.everything || dirty.later) && !*scans {
            let new = discover.begin(snapshot, Scope::Everything);
            let new = new.expect("a scan beside hostile netns");
            dirty.parts.extend(new);
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
}

#[test]
fn whatever_hostile_netns_do_a_well_behaved_one_shows_exactly_within_a_second() {
    let epoch = SystemTime::UNIX_EPOCH.elapsed();
    let seed = epoch.map_or(1, |time| time.as_secs());
    println!("seed {seed}");
    on_host(async |mut lab| {
        let good = Container::new();
        good.create_child("good0");
        good.ip("link set good0 up");
        let hostile = Arc::new([(); HOSTILE].map(|()| Container::new()));
        for container in hostile.iter() {
            container.create_child("child0");
        }
        let mut agent = Follower::start();
        lab.settle().await;

        let end = Instant::now() + TIME;
        let attackers = [1, 2].map(|thread| {
            let hostile = Arc::clone(&hostile);
            thread::spawn(move || {
                let mut dice = Dice(seed + thread);
                let mut attacks = 0;
                while Instant::now() < end {
                    attack(&mut dice, &hostile[..]);
                    attacks += 1;
                    // Children come back, so that there is something to do.
                    hostile[dice.pick(HOSTILE)].try_create_child("child0");
                }
                attacks
            })
        });
        let mut expected = BTreeSet::new();
        let (mut changed, mut is_shown, mut worst) = (Instant::now(), true, Duration::ZERO);
        let (mut rounds, mut restarts) = (0_u8, 0);
        let mut restart = Instant::now() + RESTART;
        while Instant::now() < end {
            if is_shown && changed.elapsed() > Duration::from_millis(200) {
                let address: IpAddr = [198, 51, 100, 1 + rounds % 8].into();
                let verb = if expected.insert(address) {
                    "add"
                } else {
                    expected.remove(&address);
                    "del"
                };
                good.ip(&format!("addr {verb} {address}/32 dev good0"));
                (changed, is_shown) = (Instant::now(), false);
                rounds = rounds.wrapping_add(1);
            }
            let waited = timeout(Duration::from_millis(5), lab.watch.wake()).await;
            if let Ok(wake) = waited {
                agent.wake(&wake.unwrap());
            }
            agent.follow();
            let (shown, exactly) = (shown(&agent.snapshot, &good), exactly(&expected));
            let took = changed.elapsed();
            if shown != exactly {
                assert!(
                    !is_shown && took < SOON,
                    "seed {seed}: after {took:?} {shown:?} is not {exactly:?}"
                );
                continue;
            }
            if !is_shown {
                worst = worst.max(took);
            }
            is_shown = true;
            if Instant::now() > restart {
                agent = Follower::start();
                let shown = self::shown(&agent.snapshot, &good);
                assert_eq!(shown, exactly, "seed {seed}");
                restarts += 1;
                restart = Instant::now() + RESTART;
            }
        }
        let attacks = attackers.map(|thread| thread.join().expect("attacker"));
        let attacks: u32 = attacks.into_iter().sum();
        println!("{attacks} attacks, {rounds} changes, {restarts} restarts, slowest {worst:?}");
        assert!(attacks > 20 && rounds > 5 && restarts > 2);
    });
}

#[test]
fn a_link_of_another_netns_can_have_any_name() {
    on_host(async |_| {
        let (good, hostile) = (Container::new(), Container::new());
        good.create_child("good0");
        hostile.create_child("child0");
        for name in [&b"\xff"[..], b"\x1b[31m", b"\xe2\x80\xae0hte", b"\\xff"] {
            let name = OsString::from_vec(name.into());
            hostile.try_ip(around("link set dev child0 name", name.clone(), ""));
            let (_, snapshot) = start();
            let mut children = snapshot.children.iter();
            let of_hostile = children.find(|it| it.name != "good0").unwrap();
            assert_eq!(of_hostile.name.as_bytes(), name.as_encoded_bytes());
            assert_eq!(snapshot.children.len(), 2);
            hostile.try_ip(around("link set dev", name, "name child0"));
        }
    });
}

#[test]
fn beside_a_netns_of_many_addresses_that_never_rests_every_start_succeeds() {
    on_host(async |_| {
        let (good, busy) = (Container::new(), Container::new());
        good.create_child("good0");
        good.ip("addr add 192.0.2.7/32 dev good0");
        busy.create_child("child0");
        let address = |number| format!("10.{}.{}.1/32", number / 250, number % 250);
        let add = |number| format!("addr add {} dev child0", address(number));
        busy.try_ip_batch((0..6000).map(add));
        let end = Instant::now() + Duration::from_secs(6);
        let mut starts = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                while Instant::now() < end {
                    let change = |turn: usize| {
                        let verb = ["add", "del"][turn % 2];
                        let link = ["lo", "child0"][turn / 2 % 2];
                        format!("addr {verb} 192.0.2.{}/32 dev {link}", turn / 4 % 250)
                    };
                    busy.try_ip_batch((0..2000).map(change));
                }
            });
            while Instant::now() < end {
                let (_, snapshot) = start();
                let expected = BTreeSet::from([IpAddr::from([192, 0, 2, 7])]);
                assert_eq!(shown(&snapshot, &good), exactly(&expected));
                if let Some(id) = busy.try_id(&snapshot) {
                    let child = snapshot.children_of(id).first();
                    // All that its quota allows, or nothing and noted.
                    assert_eq!(child.is_none(), snapshot.unread.contains(&id));
                    if let Some(child) = child {
                        assert!(child.over_quota && child.addresses.len() == 4096);
                    }
                }
                starts += 1;
            }
        });
        println!("{starts} starts");
        assert!(starts >= 3);
    });
}
