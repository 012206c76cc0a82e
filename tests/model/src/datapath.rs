//! The eBPF object in the kernel of this machine.

use std::{fs, net::IpAddr, os::fd::OwnedFd, thread};

use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{Array, HashMap, IterableMap as _, Map, MapData, PerCpuArray, RingBuf},
    programs::{Program as Loaded, ProgramError, ProgramFd, ProgramInfo, SchedClassifier, Xdp},
};
use ipvlan_common::{
    AddressEntry, COUNTERS, ChildRecord, Config, Control, Event, Hook, Reason, counter_index,
    globals,
    index::{SlotV4, SlotV6},
    maps,
};
use ipvlan_user::{attach::netns, maps::index::Index};
use nix::sched::{CloneFlags, setns, unshare};

pub use super::program::{
    Act, DEMUX, EGRESS, NOT_DEMUX, NOT_ROUTED, ONE_BUFFER, Origin, Program, ROUTED, TC, TC_INGRESS,
    WIRE, XDP,
};
use super::world::{Entries, SLOTS};

/// `size_of::<__sk_buff>()` is 192 on Linux 6.18; the kernel may make it longer.
const SK_BUFF_LEN: usize = 512;
/// Offset of `mark` in `__sk_buff`.
const SK_BUFF_MARK: usize = 8;
/// Offset of `ingress_ifindex` in `__sk_buff`.
const SK_BUFF_INGRESS_IFINDEX: usize = 36;

/// What came out of a test run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub code: i32,
    pub frame: Vec<u8>,
    /// `skb->mark`; 0 for XDP.
    pub mark: u32,
    /// Per run.
    pub nanoseconds: u64,
}

/// All counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    pub reasons: Vec<u64>,
    pub children: Vec<ChildRecord>,
}

/// A fresh load of all programs, with maps of their own.
pub struct Datapath {
    programs: Ebpf,
    /// Those that this kernel can load.
    loaded: Vec<Program>,
    /// A netns other than that of the host, once it is needed.
    container: Option<OwnedFd>,
    config: Array<MapData, Control>,
    addresses_v4: HashMap<MapData, [u8; 4], AddressEntry>,
    addresses_v6: HashMap<MapData, [u8; 16], AddressEntry>,
    /// `None`: it is left as it is made, so that the programs ask the maps.
    index: Option<Index>,
    events: RingBuf<MapData>,
    counters: PerCpuArray<MapData, u64>,
    children: PerCpuArray<MapData, ChildRecord>,
    installed: (Option<[Config; 2]>, Entries),
    buffer: Vec<u8>,
}

impl Datapath {
    /// Loads every program of the object.
    pub fn load() -> Self {
        Self::load_by(ipvlan_user::OBJECT, None, true)
    }

    /// Loads every program of the object that captures.
    pub fn capturing() -> Self {
        Self::load_by(ipvlan_user::CAPTURE_OBJECT, None, true)
    }

    /// The same, with indexes that say nothing: the programs look everything up in the maps.
    pub fn without_index() -> Self {
        Self::load_by(ipvlan_user::OBJECT, None, false)
    }

    /// The same, with room for so many addresses of each family.
    pub fn with_room(addresses: u32) -> Self {
        Self::load_by(ipvlan_user::OBJECT, Some(addresses), true)
    }

    fn load_by(object: &[u8], addresses: Option<u32>, indexed: bool) -> Self {
        let cookie = netns::cookie().expect("Linux >= 5.14 tells the cookie of a netns");
        let mut settings = EbpfLoader::new();
        settings.override_global(globals::HOST_COOKIE, &cookie, true);
        if let Some(addresses) = addresses {
            for map in [maps::ADDRESSES_V4, maps::ADDRESSES_V6] {
                settings.map_max_entries(map, addresses);
            }
        }
        let mut ebpf = settings.load(object).unwrap_or_else(|error| {
            panic!(
                "cannot create the maps ({error}): packet tests need root (CAP_BPF, CAP_NET_ADMIN), \
                 a kernel with BPF, and an object built without AYA_BUILD_SKIP"
            )
        });
        let loaded: Vec<Program> = Program::LOADED
            .iter()
            .copied()
            .filter(|program| !program.asks_netns() || netns::knows_netns_of_sockets())
            .collect();
        for program in &loaded {
            let name = program.name();
            let loaded = ebpf
                .program_mut(name)
                .unwrap_or_else(|| panic!("no program {name} in the object"));
            let result = match loaded {
                Loaded::SchedClassifier(classifier) => classifier.load(),
                Loaded::Xdp(xdp) => xdp.load(),
                _ => panic!("{name} is neither a classifier nor an XDP program"),
            };
            result.unwrap_or_else(|error| panic!("the kernel refuses {name}: {error:?}"));
        }
        let mut map = |name: &str| -> Map {
            ebpf.take_map(name)
                .unwrap_or_else(|| panic!("no map {name} in the object"))
        };
        let index_v4: Array<MapData, SlotV4> = map(maps::INDEX_V4).try_into().expect("array");
        let index_v6: Array<MapData, SlotV6> = map(maps::INDEX_V6).try_into().expect("array");
        let index = indexed.then(|| {
            let mut index =
                Index::new(index_v4.map().fd(), index_v6.map().fd()).expect("arrays to be mapped");
            index.fill(&Entries::new());
            index
        });
        Self {
            index,
            config: map(maps::CONFIG).try_into().expect("array of Control"),
            addresses_v4: map(maps::ADDRESSES_V4).try_into().expect("hash"),
            addresses_v6: map(maps::ADDRESSES_V6).try_into().expect("hash"),
            events: map(maps::EVENTS).try_into().expect("ring buffer"),
            counters: map(maps::COUNTERS).try_into().expect("per-CPU array"),
            children: map(maps::CHILD_COUNTERS).try_into().expect("per-CPU array"),
            programs: ebpf,
            loaded,
            container: None,
            installed: (None, Entries::new()),
            buffer: vec![0; 1 << 17],
        }
    }

    /// Takes a map that the object that captures has.
    pub fn take_map(&mut self, name: &str) -> Map {
        let map = self.programs.take_map(name);
        map.unwrap_or_else(|| panic!("no map {name} in the object"))
    }

    /// What the kernel says about a program.
    pub fn info(&self, program: Program) -> ProgramInfo {
        match self.program(program) {
            Loaded::SchedClassifier(classifier) => classifier.info(),
            Loaded::Xdp(xdp) => xdp.info(),
            _ => unreachable!("checked when it was loaded"),
        }
        .expect("information about a loaded program")
    }

    /// The program in the kernel.
    pub fn fd(&self, program: Program) -> &ProgramFd {
        match self.program(program) {
            Loaded::SchedClassifier(classifier) => classifier.fd(),
            Loaded::Xdp(xdp) => xdp.fd(),
            _ => unreachable!("checked when it was loaded"),
        }
        .expect("a loaded program")
    }

    /// Fills the maps as the loader does.
    pub fn install(&mut self, config: [Config; 2], entries: &Entries) {
        let (old_config, old_entries) = &mut self.installed;
        if *old_config != Some(config) {
            let [first, second] = config;
            let control = Control {
                first,
                second,
                deadline: u64::MAX,
            };
            self.config.set(0, control, 0).expect("write CONFIG");
            *old_config = Some(config);
        }
        let (v4, v6) = (&mut self.addresses_v4, &mut self.addresses_v6);
        old_entries.retain(|address, _| {
            let stays = entries.contains_key(address);
            if !stays {
                if let Some(index) = &mut self.index {
                    index.remove(*address);
                }
                match address {
                    IpAddr::V4(address) => v4.remove(&address.octets()),
                    IpAddr::V6(address) => v6.remove(&address.octets()),
                }
                .expect("delete an address");
            }
            stays
        });
        for (address, entry) in entries {
            if old_entries.get(address) == Some(entry) {
                continue;
            }
            match address {
                IpAddr::V4(address) => v4.insert(address.octets(), entry, 0),
                IpAddr::V6(address) => v6.insert(address.octets(), entry, 0),
            }
            .expect("write an address");
            if let Some(index) = &mut self.index {
                index.put(*address, *entry);
            }
            old_entries.insert(*address, *entry);
        }
    }

    /// Lets the programs answer until then (in ticks), as the loader does.
    pub fn set_deadline(&mut self, deadline: u64) {
        let control = self.config.get(&0, 0).expect("read CONFIG");
        let control = Control {
            deadline,
            ..control
        };
        self.config.set(0, control, 0).expect("write CONFIG");
    }

    /// Asserts that the maps which only the loader writes hold what was installed.
    pub fn assert_maps_untouched(&mut self) {
        let (config, entries) = &self.installed;
        if let Some(index) = &mut self.index {
            assert_eq!(index.fill(entries), 0, "a program wrote to an index");
        }
        let now = self.config.get(&0, 0).expect("read CONFIG");
        assert_eq!(Some([now.first, now.second]), *config);
        let v4 = self.addresses_v4.iter().map(|pair| pair.unwrap());
        let v6 = self.addresses_v6.iter().map(|pair| pair.unwrap());
        let now: Entries = v4
            .map(|(address, entry)| (IpAddr::from(address), entry))
            .chain(v6.map(|(address, entry)| (IpAddr::from(address), entry)))
            .collect();
        assert_eq!(now, *entries, "a program wrote to an address map");
    }

    /// Takes what the programs have told since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(record) = self.events.next() {
            events.push(Event::from_record(&record).expect("a record of the size of an event"));
        }
        events
    }

    /// One counter, over all CPUs.
    pub fn count(&self, hook: Hook, reason: Reason) -> u64 {
        self.counters
            .get(&counter_index(hook, reason as u8), 0)
            .expect("read a counter")
            .iter()
            .sum()
    }

    /// All counters, over all CPUs.
    pub fn counts(&self) -> Counts {
        let reasons = (0..COUNTERS)
            .map(|index| {
                let values = self.counters.get(&index, 0).expect("read a counter");
                values.iter().sum()
            })
            .collect();
        let children = (0..SLOTS)
            .map(|slot| {
                let values = self.children.get(&slot, 0).expect("read child counters");
                values
                    .iter()
                    .copied()
                    .fold(ChildRecord::default(), ChildRecord::merged)
            })
            .collect();
        Counts { reasons, children }
    }

    /// Runs the program once over the frame.
    pub fn run(
        &mut self,
        program: Program,
        frame: &[u8],
        mark: u32,
    ) -> Result<Outcome, ProgramError> {
        self.repeat(program, frame, mark, 1)
    }

    /// Runs the program once over a frame that comes from there.
    pub fn run_from(
        &mut self,
        program: Program,
        frame: &[u8],
        mark: u32,
        origin: Origin,
    ) -> Result<Outcome, ProgramError> {
        if !origin.other_netns {
            return self.test_run(program, frame, mark, origin.ingress_ifindex, 1);
        }
        // The socket of a test run is in the netns of the thread.
        let netns = self.container.take().unwrap_or_else(new_netns);
        let result = thread::scope(|scope| {
            let run = scope.spawn(|| {
                setns(&netns, CloneFlags::CLONE_NEWNET).expect("enter the container's netns");
                self.test_run(program, frame, mark, origin.ingress_ifindex, 1)
            });
            run.join().expect("the thread of the container")
        });
        self.container = Some(netns);
        result
    }

    /// Runs the program `repeat` times, each time over what the time before left.
    pub fn repeat(
        &mut self,
        program: Program,
        frame: &[u8],
        mark: u32,
        repeat: u32,
    ) -> Result<Outcome, ProgramError> {
        self.test_run(program, frame, mark, 0, repeat)
    }

    /// Whether this kernel can load the program.
    pub fn has(&self, program: Program) -> bool {
        self.loaded.contains(&program)
    }

    fn test_run(
        &mut self,
        program: Program,
        frame: &[u8],
        mark: u32,
        ingress_ifindex: u32,
        repeat: u32,
    ) -> Result<Outcome, ProgramError> {
        let mut ctx_in = [0; SK_BUFF_INGRESS_IFINDEX + 4];
        ctx_in[SK_BUFF_MARK..][..4].copy_from_slice(&mark.to_ne_bytes());
        ctx_in[SK_BUFF_INGRESS_IFINDEX..].copy_from_slice(&ingress_ifindex.to_ne_bytes());
        let mut ctx_out = [0; SK_BUFF_LEN];
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut buffer),
            repeat,
            ..TestRunOptions::new()
        };
        let result = match self.program(program) {
            Loaded::SchedClassifier(classifier) => {
                options.ctx_in = Some(&ctx_in);
                options.ctx_out = Some(&mut ctx_out);
                SchedClassifier::test_run(classifier, options)
            }
            Loaded::Xdp(xdp) => Xdp::test_run(xdp, options),
            _ => unreachable!("checked when it was loaded"),
        };
        self.buffer = buffer;
        let result = result?;
        let mark = ctx_out[SK_BUFF_MARK..SK_BUFF_MARK + 4]
            .try_into()
            .expect("four bytes");
        Ok(Outcome {
            code: result.return_value.cast_signed(),
            frame: self.buffer[..result.data_size_out as usize].to_vec(),
            mark: u32::from_ne_bytes(mark),
            nanoseconds: u64::try_from(result.duration.as_nanos()).expect("a short run"),
        })
    }

    fn program(&self, program: Program) -> &Loaded {
        self.programs
            .program(program.name())
            .expect("checked when it was loaded")
    }
}

/// A netns of its own.
fn new_netns() -> OwnedFd {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("make a netns");
        fs::File::open("/proc/thread-self/ns/net").expect("open the new netns")
    };
    thread::spawn(make)
        .join()
        .expect("the thread that makes a netns")
        .into()
}
