//! Small BPF programs of the lab's own, as bytes: a device that lets everything in through XDP, one that
//! counts what arrives, a generator of frames. System calls, since no object file is needed.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};
use nix::{errno::Errno, net::if_::if_nametoindex};

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;
const LINK_CREATE: libc::c_long = 28;

const MAP_TYPE_ARRAY: u32 = 2;
const PROG_TYPE_SCHED_CLS: u32 = 3;
const PROG_TYPE_XDP: u32 = 6;
const XDP: u32 = 37;
const TCX_INGRESS: u32 = 46;

const TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
const XDP_HAS_FRAGS: u32 = 1 << 5;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const TC_ACT_SHOT: i32 = 2;
const REDIRECT: i32 = 23;

/// One instruction: operation, registers (source in the high half), offset, immediate.
#[derive(Clone, Copy)]
struct Instruction(u8, u8, i16, i32);

const MOVE: u8 = 0xb7;
const SUBTRACT_REGISTER: u8 = 0x1f;
const LOAD_WORD: u8 = 0x61;
const LOAD_ADDRESS: u8 = 0x18;
const JUMP_UNLESS: u8 = 0x55;
const ATOMIC_ADD: u8 = 0xdb;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// `BPF_PSEUDO_MAP_VALUE`, in the half of the source register.
const MAP_VALUE: u8 = 2 << 4;

impl Instruction {
    fn bytes(self) -> [u8; 8] {
        let Self(operation, registers, offset, immediate) = self;
        let [o0, o1] = offset.to_ne_bytes();
        let [i0, i1, i2, i3] = immediate.to_ne_bytes();
        [operation, registers, o0, o1, i0, i1, i2, i3]
    }
}

const fn give(value: i32) -> [Instruction; 2] {
    [Instruction(MOVE, 0, 0, value), Instruction(EXIT, 0, 0, 0)]
}

/// A loaded program.
#[derive(Debug)]
pub struct Program(OwnedFd);

/// A program on a device; not there any more when dropped.
#[derive(Debug)]
pub struct Attached {
    _link: OwnedFd,
    _program: Program,
}

impl Program {
    /// An XDP program that lets everything pass.
    pub fn xdp_pass() -> Result<Self> {
        load(PROG_TYPE_XDP, XDP, &give(XDP_PASS))
    }

    /// An XDP program that drops everything.
    pub fn xdp_drop() -> Result<Self> {
        load(PROG_TYPE_XDP, XDP, &give(XDP_DROP))
    }

    /// A TC program that drops everything.
    pub fn tc_drop() -> Result<Self> {
        load(PROG_TYPE_SCHED_CLS, TCX_INGRESS, &give(TC_ACT_SHOT))
    }

    /// An XDP program that drops everything and counts frames of `length` bytes in `counter`.
    pub fn xdp_count(counter: &Counter, length: i32) -> Result<Self> {
        let program = [
            // r2 = data, r3 = data_end, r3 -= r2
            Instruction(LOAD_WORD, 0x12, 0, 0),
            Instruction(LOAD_WORD, 0x13, 4, 0),
            Instruction(SUBTRACT_REGISTER, 0x23, 0, 0),
            // if r3 != length goto drop
            Instruction(JUMP_UNLESS, 0x03, 4, length),
            // *counter += 1
            Instruction(LOAD_ADDRESS, MAP_VALUE | 1, 0, counter.0.as_raw_fd()),
            Instruction(0, 0, 0, 0),
            Instruction(MOVE, 2, 0, 1),
            Instruction(ATOMIC_ADD, 0x21, 0, 0),
            // drop:
            Instruction(MOVE, 0, 0, XDP_DROP),
            Instruction(EXIT, 0, 0, 0),
        ];
        load(PROG_TYPE_XDP, XDP, &program)
    }

    /// An XDP program that sends every frame out of `device` of the current netns.
    pub fn xdp_send(device: &str) -> Result<Self> {
        let index = i32::try_from(index(device)?)?;
        let program = [
            Instruction(MOVE, 1, 0, index),
            Instruction(MOVE, 2, 0, 0),
            Instruction(CALL, 0, 0, REDIRECT),
            Instruction(EXIT, 0, 0, 0),
        ];
        load(PROG_TYPE_XDP, XDP, &program)
    }

    /// Attaches an XDP program to the driver of `device` in the current netns.
    pub fn attach_xdp(self, device: &str) -> Result<Attached> {
        self.attach(device, XDP, XDP_FLAGS_DRV_MODE)
    }

    /// Attaches a TC program to the ingress of `device` in the current netns; takes Linux 6.6.
    pub fn attach_tc(self, device: &str) -> Result<Attached> {
        self.attach(device, TCX_INGRESS, 0)
    }

    fn attach(self, device: &str, attach_type: u32, flags: u32) -> Result<Attached> {
        let mut attributes = LinkCreate {
            prog_fd: word(self.0.as_raw_fd()),
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

    /// Makes `count` frames with these bytes and runs the program on each of them, in the current
    /// netns.
    pub fn generate(&self, frame: &[u8], count: u32) -> Result<()> {
        let mut attributes = TestRun {
            prog_fd: word(self.0.as_raw_fd()),
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

/// A number that a program counts in.
#[derive(Debug)]
pub struct Counter(OwnedFd);

impl Counter {
    /// A new one; it is zero.
    pub fn new() -> Result<Self> {
        let mut attributes = MapCreate {
            map_type: MAP_TYPE_ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            rest: [0; 14],
        };
        let map = bpf(MAP_CREATE, &mut attributes).context("cannot make a map")?;
        Ok(Self(descriptor(map)?))
    }

    /// What was counted so far.
    pub fn get(&self) -> Result<u64> {
        let key = 0u32;
        let mut value = 0u64;
        let mut attributes = Lookup {
            map_fd: word(self.0.as_raw_fd()),
            padding: 0,
            key: (&raw const key) as u64,
            value: (&raw mut value) as u64,
            flags: 0,
        };
        bpf(MAP_LOOKUP_ELEM, &mut attributes).context("cannot read a counter")?;
        Ok(value)
    }
}

// Beginnings of `union bpf_attr` (`linux/bpf.h`), one for each command. The kernel takes a shorter one
// for one whose rest is zero.

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    rest: [u32; 14],
}

#[repr(C)]
struct Lookup {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[derive(Default)]
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[derive(Default)]
#[repr(C)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    rest: [u64; 6],
}

fn load(
    prog_type: u32,
    expected_attach_type: u32,
    instructions: &[Instruction],
) -> Result<Program> {
    let bytes: Vec<[u8; 8]> = instructions.iter().map(|one| one.bytes()).collect();
    let xdp = prog_type == PROG_TYPE_XDP;
    let mut attributes = ProgLoad {
        prog_type,
        insn_cnt: u32::try_from(bytes.len())?,
        insns: bytes.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        // Else a device with a large MTU does not take it.
        prog_flags: if xdp { XDP_HAS_FRAGS } else { 0 },
        // Linux before 6.6 knows no TCX and wants none here.
        expected_attach_type: if xdp { expected_attach_type } else { 0 },
        ..ProgLoad::default()
    };
    let program = bpf(PROG_LOAD, &mut attributes).context("cannot load a program")?;
    Ok(Program(descriptor(program)?))
}

/// The system call; `attributes` is what `command` reads and writes.
fn bpf<T>(command: libc::c_long, attributes: &mut T) -> nix::Result<libc::c_long> {
    // SAFETY: `attributes` is a beginning of `union bpf_attr` for this command and as long as said;
    // what it points to lives in the caller, through the call, and is as large as it says.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    })
}

fn descriptor(number: libc::c_long) -> Result<OwnedFd> {
    let number = RawFd::try_from(number)?;
    // SAFETY: the kernel has just made it for us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn index(device: &str) -> Result<u32> {
    if_nametoindex(device).with_context(|| format!("no interface {device} here"))
}

fn word(descriptor: RawFd) -> u32 {
    descriptor.cast_unsigned()
}
