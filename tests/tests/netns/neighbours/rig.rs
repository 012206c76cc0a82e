//! The LAN schedule and the programs of one parent, without an agent around them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    thread,
    time::{Duration, Instant, SystemTime},
};

use ipvlan_common::{AddressEntry, Config, ConfigFlags, Delivery, Event, Reason};
use ipvlan_packet::Mac;
use ipvlan_user::{
    attach::{AttachOptions, Datapath},
    facts::{Link, NetnsId},
    lan::{
        Candidate, LanPolicy, Moment, Schedule, announce::Announced, dad::control::Neighbourhood,
        incidents::Entry,
    },
    maps::{Events, Maps},
    model::{ChildKey, DesiredEntry, EgressProgram, IngressProgram},
    pins::Pins,
    quota::Quotas,
};
use nix::net::if_::if_nametoindex;

use crate::common::{PARENT, Topology};

use super::ip;

const STEP: Duration = Duration::from_millis(5);
const MTU: u32 = 1500;
/// What the tests are not about does not slow them down.
const QUOTAS: Quotas = Quotas {
    addresses: 1_000,
    events: 1_000,
    announcements: 1_000,
    groups: 1_000,
    time: 100,
};

/// Attached to the parent of a topology.
pub(crate) struct Rig<'a> {
    net: &'a Topology,
    ifindex: u32,
    schedule: Schedule,
    candidates: BTreeMap<IpAddr, Candidate>,
    maps: Maps,
    events: Events,
    installed: BTreeSet<IpAddr>,
    _datapath: Datapath,
}

impl<'a> Rig<'a> {
    pub(crate) fn new(net: &'a Topology, policy: LanPolicy) -> Self {
        let options = AttachOptions {
            host_access: true,
            max_addresses: 64,
            max_children: 8,
            ..AttachOptions::default()
        };
        net.host
            .run(|| {
                let ifindex = if_nametoindex(PARENT)?;
                let (mut datapath, mut maps) =
                    Datapath::open(PARENT, ifindex, options, Pins::None)?;
                maps.set_deadline(u64::MAX)?;
                datapath.set_programs(IngressProgram::Neighbour, EgressProgram::OwnMac, false)?;
                let events = maps.take_events().unwrap();
                let schedule = Schedule::open(Instant::now(), ifindex, policy, &QUOTAS)?;
                Ok(Self {
                    net,
                    ifindex,
                    schedule,
                    candidates: BTreeMap::new(),
                    maps,
                    events,
                    installed: BTreeSet::new(),
                    _datapath: datapath,
                })
            })
            .unwrap()
    }

    /// These are the addresses of an l3 child, from now on.
    pub(crate) fn update(&mut self, addresses: &[&str]) {
        self.update_with(addresses, MTU);
    }

    /// The same, and the parent has this MTU.
    pub(crate) fn update_with(&mut self, addresses: &[&str], mtu: u32) {
        let mac = self.net.mac();
        let announced = Announced {
            child: ChildKey {
                netns: NetnsId::Nsid(1),
                ifindex: 7,
            },
            router: false,
            optimistic: false,
        };
        let l2 = false;
        let candidate = Candidate { announced, l2 };
        let candidates = addresses.iter().map(|it| (ip(it), candidate));
        self.candidates = candidates.collect();
        let link = Link {
            ifindex: self.ifindex,
            name: PARENT.into(),
            mac: Some(mac),
            mtu,
            up: true,
            carrier: true,
            ..Link::default()
        };
        let candidates = self.candidates.clone();
        self.net
            .host
            .run(|| {
                let now = Instant::now();
                self.schedule.update(now, &link, candidates);
                self.schedule.join_groups(now);
                Ok(())
            })
            .unwrap();
        self.install();
        let config = Config::new(mac, ConfigFlags::READY);
        self.maps.set_config(config).unwrap();
    }

    /// The addresses are those from before.
    fn update_again(&mut self) {
        let addresses: Vec<String> = self.candidates.keys().map(ToString::to_string).collect();
        self.update(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Puts into the maps what the agent would.
    fn install(&mut self) {
        self.schedule.take_changed();
        let withheld = self.schedule.withheld();
        let candidates = self.candidates.iter();
        let entries = candidates.map(|(&address, candidate)| {
            let child = candidate.announced.child.ifindex;
            let mut entry = AddressEntry::child(child, 0, Delivery::Pass);
            if let Some(&reason) = withheld.get(&address) {
                entry = entry.refused(reason);
            }
            if self.schedule.is_probed(address) {
                entry = entry.with_probed();
            }
            (address, entry)
        });
        let controls = self.schedule.controls();
        let controls = controls.map(|control| (control, DesiredEntry::Control.entry(|_| 0)));
        let entries: BTreeMap<IpAddr, AddressEntry> = entries.chain(controls).collect();
        for &address in &self.installed {
            if !entries.contains_key(&address) {
                self.maps.remove(address).unwrap();
            }
        }
        self.installed = entries.keys().copied().collect();
        let entries: Vec<_> = entries.into_iter().collect();
        let failed = self.maps.put(&entries);
        assert!(failed.is_empty(), "{failed:?}");
    }

    /// Runs the schedule with the events of the programs for some time.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.step();
        }
    }

    /// The same until something is so.
    #[track_caller]
    pub(crate) fn run_until(
        &mut self,
        patience: Duration,
        what: &str,
        mut is_so: impl FnMut(&Self) -> bool,
    ) {
        let end = Instant::now() + patience;
        while !is_so(self) {
            assert!(Instant::now() < end, "not so within {patience:?}: {what}");
            self.step();
        }
    }

    fn step(&mut self) {
        let mut changed = false;
        let moment = Moment {
            now: Instant::now(),
            at: SystemTime::now(),
            name: &|_| "ipvl0".to_owned(),
        };
        while let Some(record) = self.events.next() {
            let event = Event::from_record(&record).unwrap();
            let held = &self.installed;
            let around = Neighbourhood {
                on_link: &[],
                is_owned: &|address| held.contains(&address),
            };
            changed |= self.schedule.on_event(moment, &event, &around);
        }
        let due = self.schedule.next_due(moment.now);
        let is_due = due.is_some_and(|due| due <= moment.now);
        if is_due {
            changed |= self.schedule.advance(moment, 0);
        }
        if changed {
            self.update_again();
        } else if self.schedule.has_changed() {
            self.install();
        }
        if is_due {
            self.schedule.send(moment.now);
        }
        thread::sleep(STEP);
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.schedule.next_due(Instant::now())
    }

    pub(crate) fn refusal(&self, address: &str) -> Option<Reason> {
        self.schedule.withheld().get(&ip(address)).copied()
    }

    /// Whether the programs would answer for it.
    pub(crate) fn answers(&self, address: &str) -> bool {
        let held = self.maps.addresses().unwrap();
        held.get(&ip(address))
            .is_some_and(AddressEntry::is_live_child)
    }

    pub(crate) fn duplicates(&self) -> Vec<(IpAddr, Mac)> {
        let duplicates = self.schedule.duplicates();
        duplicates.map(|(address, _, mac)| (address, mac)).collect()
    }

    pub(crate) fn incidents(&self) -> impl Iterator<Item = &Entry> {
        self.schedule.incidents().entries()
    }

    pub(crate) fn groups(&self) -> usize {
        self.schedule.groups()
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.schedule.notes(Instant::now())
    }
}
