//! Small BPF programs of the lab's own, as bytes: a device that lets everything in through XDP, one that
//! counts what arrives, a generator of frames. System calls, since no object file is needed.

pub(crate) mod call;
mod counter;
mod filter;
mod info;
mod instruction;
mod restored;

use std::{
    ffi::CString,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anyhow::{Context, Result, bail};
use nix::net::if_::if_nametoindex;

use self::{
    call::{
        LINK_CREATE, LinkCreate, OBJ_PIN, PROG_LOAD, PROG_TEST_RUN, Pin, ProgLoad, TestRun, bpf,
        descriptor, map, word,
    },
    instruction::{
        ADD, ATOMIC_ADD, CALL, EXIT, Instruction, JUMP_IF_GREATER, JUMP_UNLESS, LOAD, LOAD_ADDRESS,
        LOAD_WORD, MAP_VALUE, MOVE, MOVE_REGISTER, STORE, STORE_BYTE, STORE_HALF, STORE_WORD,
        SUBTRACT_REGISTER, give,
    },
};
pub use self::{
    counter::{Count, Counter},
    filter::Filter,
    info::{tcx_programs, translated, verified_instructions},
    restored::{Restored, Varied},
};

const MAP_TYPE_HASH: u32 = 1;
const PROG_TYPE_SCHED_CLS: u32 = 3;
const PROG_TYPE_XDP: u32 = 6;
const XDP: u32 = 37;
pub(crate) const TCX_INGRESS: u32 = 46;
pub(crate) const TCX_EGRESS: u32 = 47;

/// `BPF_F_BEFORE`
const BEFORE: u32 = 1 << 3;
const TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
const XDP_HAS_FRAGS: u32 = 1 << 5;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const TC_ACT_OK: i32 = 0;
const TC_ACT_SHOT: i32 = 2;
const TC_ACT_UNSPEC: i32 = -1;
// Helpers.
const KTIME_GET_NS: i32 = 5;
const SKB_VLAN_PUSH: i32 = 18;
const REDIRECT: i32 = 23;
const XDP_ADJUST_TAIL: i32 = 65;

/// By how many bytes frames are first made too long.
const EXCESS: u8 = 8;

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
    descriptor: OwnedFd,
    hook: Hook,
}

/// A program on a device; not there any more when dropped.
#[derive(Debug)]
pub struct Attached {
    _link: OwnedFd,
    _program: Program,
}

impl Program {
    /// An XDP program that lets everything pass.
    pub fn xdp_pass() -> Result<Self> {
        load(Hook::Xdp, &give(XDP_PASS))
    }

    /// A TC program that leaves everything to the next one.
    pub fn tc_next(hook: Hook) -> Result<Self> {
        load(hook, &give(TC_ACT_UNSPEC))
    }

    /// A TC program that ends the chain: no program behind it sees a frame.
    pub fn tc_end(hook: Hook) -> Result<Self> {
        load(hook, &give(TC_ACT_OK))
    }

    /// A TC program that writes to every frame, and leaves it to the next one.
    pub fn tc_write(hook: Hook) -> Result<Self> {
        let mut program = vec![
            // r2 = data; if data + 1 <= data_end: *data = 0
            Instruction(LOAD_WORD, 0x12, 76, 0),
            Instruction(LOAD_WORD, 0x13, 80, 0),
            Instruction(MOVE_REGISTER, 0x24, 0, 0),
            Instruction(ADD, 4, 0, 1),
            Instruction(JUMP_IF_GREATER, 0x34, 1, 0),
            Instruction(STORE_BYTE, 2, 0, 0),
        ];
        program.extend(give(TC_ACT_UNSPEC));
        load(hook, &program)
    }

    /// A TC program that drops everything.
    pub fn tc_drop(hook: Hook) -> Result<Self> {
        load(hook, &give(TC_ACT_SHOT))
    }

    /// A TC program that tags every frame with this VLAN id, beside the frame as a VLAN device does, and leaves it
    /// to the next one.
    pub fn tag(hook: Hook, vlan: u16) -> Result<Self> {
        let tag = i32::from(0x8100_u16.to_be());
        let mut program = vec![
            Instruction(MOVE, 2, 0, tag),
            Instruction(MOVE, 3, 0, i32::from(vlan)),
            Instruction(CALL, 0, 0, SKB_VLAN_PUSH),
        ];
        program.extend(give(TC_ACT_UNSPEC));
        load(hook, &program)
    }

    /// A TC program that sends every frame out of `device` of the current netns.
    pub fn redirect(hook: Hook, device: &str) -> Result<Self> {
        let index = i32::try_from(index(device)?)?;
        load(hook, &redirecting(index))
    }

    /// The program in the kernel.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Pins it to `path`, in a bpffs.
    pub fn pin(&self, path: &Path) -> Result<()> {
        pin(&self.descriptor, path)
    }

    /// A TC program that leaves everything to the next one, and counts as the one below.
    pub fn watch(hook: Hook, counter: &Counter, length: i32) -> Result<Self> {
        let mut program = vec![Instruction(LOAD_WORD, 0x13, 0, 0)];
        program.extend(counting(counter, length, TC_ACT_UNSPEC));
        load(hook, &program)
    }

    /// A program that drops everything, and counts in `counter` the frames that are `length` bytes long.
    pub fn count(hook: Hook, counter: &Counter, length: i32) -> Result<Self> {
        let drop = match hook {
            Hook::Xdp => XDP_DROP,
            Hook::Tc | Hook::Egress => TC_ACT_SHOT,
        };
        // r3 = length of the frame
        let mut program = match hook {
            Hook::Xdp => vec![
                Instruction(LOAD_WORD, 0x12, 0, 0),
                Instruction(LOAD_WORD, 0x13, 4, 0),
                Instruction(SUBTRACT_REGISTER, 0x23, 0, 0),
            ],
            Hook::Tc | Hook::Egress => vec![Instruction(LOAD_WORD, 0x13, 0, 0)],
        };
        program.extend(counting(counter, length, drop));
        load(hook, &program)
    }

    /// An XDP program that makes every frame it gets `frame`, sends it out of `device` of the current
    /// netns, and writes in `counter` when it sent the first one.
    ///
    /// The kernel uses the memory of frames again as it comes back, with whatever answer was written
    /// in it, so it is not enough to have had the right bytes once. It is not enough to have had the
    /// right length either: that of the answer is still written there, and the kernel writes it anew
    /// only when the program has changed something (`ctx_was_changed` of `net/bpf/test_run.c`). So
    /// frames are made too long, and cut.
    pub fn send(device: &str, frame: &[u8], counter: &Counter) -> Result<Self> {
        let index = i32::try_from(index(device)?)?;
        let mut program = vec![
            // r6 = context
            Instruction(MOVE_REGISTER, 0x16, 0, 0),
        ];
        program.extend(noting_first(counter));
        program.extend([
            // adjust_tail(context, -EXCESS)
            Instruction(MOVE_REGISTER, 0x61, 0, 0),
            Instruction(MOVE, 2, 0, -i32::from(EXCESS)),
            Instruction(CALL, 0, 0, XDP_ADJUST_TAIL),
            // r2 = data, r3 = data_end
            Instruction(LOAD_WORD, 0x62, 0, 0),
            Instruction(LOAD_WORD, 0x63, 4, 0),
            // r4 = data + length; if r4 > data_end goto send
            Instruction(MOVE_REGISTER, 0x24, 0, 0),
            Instruction(ADD, 4, 0, i32::try_from(frame.len())?),
        ]);
        let stores = stores(frame)?;
        program.push(Instruction(
            JUMP_IF_GREATER,
            0x34,
            i16::try_from(stores.len())?,
            0,
        ));
        program.extend(stores);
        // send:
        program.extend(redirecting(index));
        load(Hook::Xdp, &program)
    }

    /// Attaches it to the hook it is for on `device` of the current netns, behind what is there: XDP
    /// in the driver; TC from Linux 6.6 on.
    pub fn attach(self, device: &str) -> Result<Attached> {
        match self.hook {
            Hook::Xdp => self.attach_to(device, XDP, XDP_FLAGS_DRV_MODE),
            Hook::Tc => self.attach_to(device, TCX_INGRESS, 0),
            Hook::Egress => self.attach_to(device, TCX_EGRESS, 0),
        }
    }

    /// Attaches an XDP program to generic XDP on `device` of the current netns.
    pub fn attach_generic(self, device: &str) -> Result<Attached> {
        self.attach_to(device, XDP, XDP_FLAGS_SKB_MODE)
    }

    /// Attaches a TC program before what is there; from Linux 6.6 on.
    pub fn attach_first(self, device: &str) -> Result<Attached> {
        let attach_type = match self.hook {
            Hook::Egress => TCX_EGRESS,
            Hook::Xdp | Hook::Tc => TCX_INGRESS,
        };
        self.attach_to(device, attach_type, BEFORE)
    }

    fn attach_to(self, device: &str, attach_type: u32, flags: u32) -> Result<Attached> {
        let mut attributes = LinkCreate {
            prog_fd: word(self.descriptor.as_raw_fd()),
            target_ifindex: index(device)?,
            attach_type,
            flags,
            rest: [0; 6],
        };
        let link = bpf(LINK_CREATE, &mut attributes)
            .with_context(|| format!("cannot attach a program to {device}"))?;
        Ok(Attached {
            _link: descriptor(link)?,
            _program: self,
        })
    }

    /// Makes `count` frames with these bytes, which the program is for, and runs it on each of them,
    /// in the current netns.
    pub fn generate(&self, frame: &[u8], count: u32) -> Result<()> {
        let frame = [frame, &vec![0; EXCESS.into()]].concat();
        let mut attributes = TestRun {
            prog_fd: word(self.descriptor.as_raw_fd()),
            data_size_in: u32::try_from(frame.len())?,
            data_in: frame.as_ptr() as u64,
            repeat: count,
            flags: TEST_XDP_LIVE_FRAMES,
            ..TestRun::default()
        };
        bpf(PROG_TEST_RUN, &mut attributes)
            .context("cannot generate frames")
            .map(drop)
    }
}

/// Makes a hash map with keys of `key_size` bytes and pins it to `path`, in a bpffs.
pub fn pin_map(key_size: usize, path: &Path) -> Result<()> {
    pin(&map(MAP_TYPE_HASH, [key_size, 8], 1)?, path)
}

fn pin(object: &OwnedFd, path: &Path) -> Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = Pin {
        pathname: name.as_ptr() as u64,
        bpf_fd: word(object.as_raw_fd()),
        file_flags: 0,
    };
    bpf(OBJ_PIN, &mut attributes)
        .with_context(|| format!("cannot pin to {}", path.display()))
        .map(drop)
}

/// Writes `frame`, of even length, to where r2 points.
fn stores(frame: &[u8]) -> Result<Vec<Instruction>> {
    let mut at = 0;
    let mut stores = Vec::new();
    for part in frame.chunks(4) {
        let offset = i16::try_from(at)?;
        stores.push(match *part {
            [a, b, c, d] => {
                let word = i32::from_ne_bytes([a, b, c, d]);
                Instruction(STORE_WORD, 2, offset, word)
            }
            [a, b] => {
                let half = u16::from_ne_bytes([a, b]);
                Instruction(STORE_HALF, 2, offset, half.into())
            }
            _ => bail!("a frame of {} bytes", frame.len()),
        });
        at += part.len();
    }
    Ok(stores)
}

/// Returns what sends a frame out of the device with this index.
fn redirecting(index: i32) -> [Instruction; 4] {
    [
        // return redirect(index, 0)
        Instruction(MOVE, 1, 0, index),
        Instruction(MOVE, 2, 0, 0),
        Instruction(CALL, 0, 0, REDIRECT),
        Instruction(EXIT, 0, 0, 0),
    ]
}

/// Gives r0 = now and r1 = `counter`, and writes the time in it if it is the first.
fn noting_first(counter: &Counter) -> [Instruction; 6] {
    [
        Instruction(CALL, 0, 0, KTIME_GET_NS),
        Instruction(LOAD_ADDRESS, MAP_VALUE | 1, 0, counter.descriptor()),
        Instruction(0, 0, 0, 0),
        // if counter.first == 0: counter.first = now
        Instruction(LOAD, 0x12, 8, 0),
        Instruction(JUMP_UNLESS, 0x02, 1, 0),
        Instruction(STORE, 0x01, 8, 0),
    ]
}

/// If r3 is `length`, counts and writes the time in `counter`, as the first time too if there is none yet; gives `verdict` in any case.
fn counting(counter: &Counter, length: i32, verdict: i32) -> Vec<Instruction> {
    // if r3 != length goto verdict
    let mut program = vec![Instruction(JUMP_UNLESS, 0x03, 9, length)];
    program.extend(noting_first(counter));
    program.extend([
        // counter.last = now, counter.frames += 1
        Instruction(STORE, 0x01, 16, 0),
        Instruction(MOVE, 2, 0, 1),
        Instruction(ATOMIC_ADD, 0x21, 0, 0),
    ]);
    program.extend(give(verdict));
    program
}

fn load(hook: Hook, instructions: &[Instruction]) -> Result<Program> {
    let descriptor = match hook {
        // Without that flag a device with a large MTU does not take it.
        Hook::Xdp => load_as(PROG_TYPE_XDP, XDP_HAS_FRAGS, XDP, instructions),
        Hook::Tc | Hook::Egress => load_as(PROG_TYPE_SCHED_CLS, 0, 0, instructions),
    }?;
    Ok(Program { descriptor, hook })
}

fn load_as(
    prog_type: u32,
    prog_flags: u32,
    expected_attach_type: u32,
    instructions: &[Instruction],
) -> Result<OwnedFd> {
    let bytes: Vec<[u8; 8]> = instructions.iter().map(|one| one.bytes()).collect();
    let mut attributes = ProgLoad {
        prog_type,
        insn_cnt: u32::try_from(bytes.len())?,
        insns: bytes.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        prog_flags,
        expected_attach_type,
        ..ProgLoad::default()
    };
    descriptor(bpf(PROG_LOAD, &mut attributes).context("cannot load a program")?)
}

fn index(device: &str) -> Result<u32> {
    if_nametoindex(device).with_context(|| format!("no interface {device} here"))
}
