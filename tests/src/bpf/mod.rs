//! Small BPF programs of the tests (`ipvlan-ebpf/lab`): foreign programs beside the agent's, counters of frames, and a
//! sender.

mod counter;
mod restored;

use std::{
    os::fd::BorrowedFd,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{Array, Map, MapData},
    programs::{
        LinkOrder, Program as Loaded, ProgramFd, SocketFilter, TcAttachType, TestRunAttrs,
        TestRunResult, XdpMode, tc::TcAttachOptions,
    },
};
use nix::net::if_::if_nametoindex;

pub use self::{
    counter::{Count, Counter},
    restored::{Restored, Varied},
};

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const TC_ACT_OK: i32 = 0;
const TC_ACT_SHOT: i32 = 2;
const TC_ACT_UNSPEC: i32 = -1;

/// The longest frame that a program writes, in bytes: the size of its map.
const FRAME_MAX: usize = 128;
/// Half words that vary, at most, of either kind.
const PLACES: usize = 4;
/// By how many bytes frames are first made too long.
const EXCESS: u8 = 8;
/// Frames that the kernel makes at a time, its default.
const BATCH: u32 = 64;

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// In the driver, on frames that come in.
    Xdp,
    /// Before the network stack, on frames that come in.
    Tc,
    /// Behind the network stack, on frames that go out.
    Egress,
}

/// A loaded program.
#[derive(Debug)]
pub struct Program {
    object: Ebpf,
    name: &'static str,
    hook: Hook,
}

/// A program on a device or a socket; it is detached when this is dropped.
#[derive(Debug)]
pub struct Attached(#[expect(dead_code, reason = "held for its links")] Ebpf);

/// Values of the programs' globals.
#[derive(Clone, Copy, Debug)]
struct Globals {
    verdict: i32,
    length: u32,
    vlan: u16,
    device: u32,
    mask: u16,
    with: [u16; PLACES],
    against: [u16; PLACES],
}

impl Globals {
    const fn of(verdict: i32) -> Self {
        Self {
            verdict,
            length: 0,
            vlan: 0,
            device: 0,
            mask: 0,
            with: [u16::MAX; PLACES],
            against: [u16::MAX; PLACES],
        }
    }
}

impl Program {
    /// An XDP program that passes every frame.
    pub fn xdp_pass() -> Result<Self> {
        load(Hook::Xdp, "xdp_verdict", Globals::of(XDP_PASS))
    }

    /// A TC program that passes every frame to the next program.
    pub fn tc_next(hook: Hook) -> Result<Self> {
        load(hook, "tc_verdict", Globals::of(TC_ACT_UNSPEC))
    }

    /// A TC program that ends the chain: no program behind it sees a frame.
    pub fn tc_end(hook: Hook) -> Result<Self> {
        load(hook, "tc_verdict", Globals::of(TC_ACT_OK))
    }

    /// A TC program that drops everything.
    pub fn tc_drop(hook: Hook) -> Result<Self> {
        load(hook, "tc_verdict", Globals::of(TC_ACT_SHOT))
    }

    /// A TC program that writes to every frame directly, and passes it to the next program.
    pub fn tc_write(hook: Hook) -> Result<Self> {
        load(hook, "tc_write", Globals::of(TC_ACT_UNSPEC))
    }

    /// A TC program that tags every frame with this VLAN id, beside the frame as a VLAN device does, and passes it to
    /// the next program.
    pub fn tag(hook: Hook, vlan: u16) -> Result<Self> {
        let globals = Globals {
            vlan,
            ..Globals::of(TC_ACT_UNSPEC)
        };
        load(hook, "tc_tag", globals)
    }

    /// A TC program that sends every frame out of `device` of the current netns.
    pub fn redirect(hook: Hook, device: &str) -> Result<Self> {
        let globals = Globals {
            device: index(device)?,
            ..Globals::of(TC_ACT_UNSPEC)
        };
        load(hook, "tc_redirect", globals)
    }

    /// A TC program that counts the frames of `length` bytes, and passes everything to the next program.
    pub fn watch(hook: Hook, length: usize) -> Result<(Self, Counter)> {
        counting(hook, "tc_count", length, TC_ACT_UNSPEC)
    }

    /// A program that counts the frames of `length` bytes, and drops everything.
    pub fn count(hook: Hook, length: usize) -> Result<(Self, Counter)> {
        match hook {
            Hook::Xdp => counting(hook, "xdp_count", length, XDP_DROP),
            Hook::Tc | Hook::Egress => counting(hook, "tc_count", length, TC_ACT_SHOT),
        }
    }

    /// A filter of a socket that counts what is `length` bytes long with its transport header, and drops everything.
    pub fn filter(length: usize) -> Result<(Self, Counter)> {
        counting(Hook::Tc, "filter_count", length, 0)
    }

    /// An XDP program that turns every frame into `frame` and sends it out of `device` of the current netns. The
    /// counter has the time of the first one.
    pub fn send(device: &str, frame: &[u8]) -> Result<(Self, Counter)> {
        let globals = Globals {
            device: index(device)?,
            length: u32::try_from(frame.len())?,
            ..Globals::of(TC_ACT_UNSPEC)
        };
        let mut program = load(Hook::Xdp, "xdp_send", globals)?;
        program.write(frame)?;
        let counter = program.counter()?;
        Ok((program, counter))
    }

    /// The program in the kernel.
    pub fn fd(&self) -> Result<&ProgramFd> {
        Ok(self.loaded()?.fd()?)
    }

    /// The number that the kernel gave it.
    pub fn id(&self) -> Result<u32> {
        Ok(self.loaded()?.info()?.id())
    }

    /// Pins it to `path`, in a bpffs.
    pub fn pin(&mut self, path: &Path) -> Result<()> {
        let program = self.object.program_mut(self.name).context("no program")?;
        program.pin(path).context("cannot pin a program")
    }

    /// Attaches it to the hook it is for on `device` of the current netns, behind what is there: XDP in the driver; TC
    /// from Linux 6.6 on.
    pub fn attach(self, device: &str) -> Result<Attached> {
        self.attach_by(device, XdpMode::Driver, LinkOrder::last())
    }

    /// Attaches an XDP program to generic XDP on `device` of the current netns.
    pub fn attach_generic(self, device: &str) -> Result<Attached> {
        self.attach_by(device, XdpMode::Skb, LinkOrder::last())
    }

    /// Attaches a TC program before what is there; from Linux 6.6 on.
    pub fn attach_first(self, device: &str) -> Result<Attached> {
        self.attach_by(device, XdpMode::Driver, LinkOrder::first())
    }

    fn attach_by(mut self, device: &str, mode: XdpMode, order: LinkOrder) -> Result<Attached> {
        let direction = match self.hook {
            Hook::Xdp | Hook::Tc => TcAttachType::Ingress,
            Hook::Egress => TcAttachType::Egress,
        };
        match self.object.program_mut(self.name) {
            Some(Loaded::Xdp(xdp)) => xdp.attach(device, mode).map(drop),
            Some(Loaded::SchedClassifier(classifier)) => {
                let options = TcAttachOptions::TcxOrder(order);
                let attached = classifier.attach_with_options(device, direction, options);
                attached.map(drop)
            }
            _ => bail!("{} is not for a device", self.name),
        }
        .with_context(|| format!("cannot attach {} to {device}", self.name))?;
        Ok(Attached(self.object))
    }

    /// Attaches a filter to `socket`, for as long as that is open.
    pub fn attach_to_socket(&self, socket: BorrowedFd<'_>) -> Result<()> {
        let filter: &SocketFilter = self.loaded()?.try_into()?;
        filter.attach(socket).context("cannot attach a filter")
    }

    /// Makes `count` frames of the length of `frame`, which the program is for, and runs it on each of them, in the
    /// current netns.
    pub fn generate(&self, frame: &[u8], count: u32) -> Result<()> {
        let frame = [frame, &[0; EXCESS as usize]].concat();
        let options = TestRunOptions {
            data_in: Some(&frame),
            repeat: count,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        };
        self.test_run(options).map(drop)
    }

    fn test_run(&self, options: TestRunOptions<'_>) -> Result<TestRunResult> {
        match self.loaded()? {
            Loaded::Xdp(xdp) => xdp.test_run(options),
            Loaded::SchedClassifier(classifier) => classifier.test_run(options),
            _ => bail!("{} cannot be run", self.name),
        }
        .with_context(|| format!("cannot run {}", self.name))
    }

    fn loaded(&self) -> Result<&Loaded> {
        self.object.program(self.name).context("no program")
    }

    /// Lets the program write `frame`.
    fn write(&mut self, frame: &[u8]) -> Result<()> {
        let mut padded = [0; FRAME_MAX];
        let start = padded.get_mut(..frame.len());
        start.context("a frame too long")?.copy_from_slice(frame);
        let mut map: Array<MapData, [u8; FRAME_MAX]> = self.take("FRAME")?.try_into()?;
        Ok(map.set(0, padded, 0)?)
    }

    fn counter(&mut self) -> Result<Counter> {
        Ok(Counter(self.take("COUNT")?.try_into()?))
    }

    fn take(&mut self, map: &str) -> Result<Map> {
        let found = self.object.take_map(map);
        found.with_context(|| format!("no map {map} in the object"))
    }
}

fn counting(
    hook: Hook,
    name: &'static str,
    length: usize,
    verdict: i32,
) -> Result<(Program, Counter)> {
    let globals = Globals {
        length: u32::try_from(length)?,
        ..Globals::of(verdict)
    };
    let mut program = load(hook, name, globals)?;
    let counter = program.counter()?;
    Ok((program, counter))
}

/// Loads one program of the object, with maps of its own.
fn load(hook: Hook, name: &'static str, globals: Globals) -> Result<Program> {
    // The loader reads the kernel's BTF, 5 MB, when it is made.
    static LOADER: OnceLock<Mutex<EbpfLoader<'static>>> = OnceLock::new();
    ensure!(
        !ipvlan_object::LAB.is_empty(),
        "built without the eBPF objects: run `cargo xtask build`"
    );
    // The loader outlives what it refers to otherwise.
    let globals: &'static Globals = Box::leak(Box::new(globals));
    let loader = LOADER.get_or_init(|| Mutex::new(EbpfLoader::new()));
    let mut object = {
        let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
        loader
            .override_global("VERDICT", &globals.verdict, true)
            .override_global("LENGTH", &globals.length, true)
            .override_global("VLAN", &globals.vlan, true)
            .override_global("DEVICE", &globals.device, true)
            .override_global("MASK", &globals.mask, true)
            .override_global("WITH", &globals.with, true)
            .override_global("AGAINST", &globals.against, true)
            .load(ipvlan_object::LAB)
            .context("cannot load the object of the tests")?
    };
    match object.program_mut(name) {
        Some(Loaded::Xdp(xdp)) => xdp.load(),
        Some(Loaded::SchedClassifier(classifier)) => classifier.load(),
        Some(Loaded::SocketFilter(filter)) => filter.load(),
        _ => bail!("no program {name} in the object"),
    }
    .with_context(|| format!("cannot load {name}"))?;
    Ok(Program { object, name, hook })
}

fn index(device: &str) -> Result<u32> {
    if_nametoindex(device).with_context(|| format!("no interface {device} here"))
}
