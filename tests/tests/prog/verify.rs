//! The kernel of this machine loads every program, verifying them costs it little, and it asks for no
//! more than two capabilities. No TC program writes to a packet directly.

use std::{
    fmt::Write as _,
    fs, io, mem,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::programs::ProgramFd;
use aya_obj::generated::{bpf_attr, bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, bpf_prog_info};
use ipvlan_model::datapath::{Datapath, Program, TC};
use ipvlan_tests::bpf;

/// Budget of the project for the verifier's work on one program.
const VERIFIER_INSTRUCTIONS: u32 = 20_000;
/// Bytes per instruction.
const INSTRUCTION: u32 = 8;

#[test]
fn every_program_loads_within_the_verifier_budget() {
    assert_within_budget(&Datapath::load(), "as root");
    assert_within_budget(&Datapath::capturing(), "as root, capturing");
}

/// `CAP_PERFMON`, which root has, relaxes the verifier: it lets packet pointers be subtracted, for one,
/// and spares it what a processor would do that guesses wrong.
#[test]
fn every_program_loads_within_it_with_cap_bpf_and_cap_net_admin_alone() {
    const CAP_NET_ADMIN: u32 = 12;
    const CAP_BPF: u32 = 39;
    keep_only(1 << CAP_NET_ADMIN | 1 << CAP_BPF);
    let error = fs::File::open("/proc/1/mem").expect_err("root's other capabilities are gone");
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert_within_budget(&Datapath::load(), "with two capabilities");
    assert_within_budget(&Datapath::capturing(), "with two, capturing");
}

/// Shows what every program is, and what verifying it took.
fn assert_within_budget(datapath: &Datapath, how: &str) {
    let mut table = format!("{how:<22} instructions  verifier instructions  native bytes\n");
    for &program in Program::LOADED {
        if !datapath.has(program) {
            continue;
        }
        let info = datapath.info(program);
        let name = program.name();
        let size = info.size_translated().unwrap_or_default() / INSTRUCTION;
        let verified = info
            .verified_instruction_count()
            .expect("Linux >= 5.16 tells what verifying took");
        let native = info.size_jitted();
        writeln!(table, "{name:<22} {size:>12}  {verified:>21}  {native:>12}").expect("a string");
        assert!(
            (1..=VERIFIER_INSTRUCTIONS).contains(&verified),
            "{name} took the verifier {verified} instructions {how}"
        );
    }
    print!("{table}");
}

/// Gives up all other capabilities of this thread; `capget(2)` has the layout.
fn keep_only(capabilities: u64) {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Set {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let header = Header {
        version: LINUX_CAPABILITY_VERSION_3,
        pid: 0,
    };
    let sets = [0, 32].map(|shift| {
        let half = u32::try_from(capabilities >> shift & u64::from(u32::MAX)).expect("32 bits");
        Set {
            effective: half,
            permitted: half,
            inheritable: 0,
        }
    });
    // SAFETY: both arguments point to what version 3 of the call reads, and outlive it.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    assert_eq!(result, 0, "capset: {}", io::Error::last_os_error());
}

/// One direct write to the packet anywhere in a program, and the kernel gives each cloned skb a copy
/// of its own before the program runs: every TCP segment that leaves the host.
#[test]
fn no_tc_program_makes_the_kernel_copy_cloned_skbs() {
    let writes = bpf::Program::tc_write(bpf::Hook::Tc).expect("load");
    let control = translated(writes.fd().expect("a loaded program"));
    assert!(starts_with_unclone(&control), "{control:?}");

    for datapath in [Datapath::load(), Datapath::capturing()] {
        for &program in TC {
            if !datapath.has(program) {
                continue;
            }
            let instructions = translated(datapath.fd(program));
            assert!(
                !starts_with_unclone(&instructions),
                "{} writes to the packet: {:?}",
                program.name(),
                &instructions[..8]
            );
        }
    }
}

/// Returns the instructions that the kernel runs for a program, after the verifier rewrote it.
fn translated(program: &ProgramFd) -> Vec<[u8; 8]> {
    /// More than any program here has.
    const MAX: usize = 8_192;
    let mut instructions = vec![[0; 8]; MAX];
    let size = |bytes: usize| u32::try_from(bytes).expect("a small buffer");
    // SAFETY: both are plain data of the kernel's interface, for which zeros are valid.
    let (mut info, mut attributes): (bpf_prog_info, bpf_attr) = unsafe { mem::zeroed() };
    info.xlated_prog_len = size(size_of_val(&instructions[..]));
    info.xlated_prog_insns = instructions.as_mut_ptr() as u64;
    attributes.info.bpf_fd = program.as_fd().as_raw_fd().cast_unsigned();
    attributes.info.info_len = size(size_of_val(&info));
    attributes.info.info = (&raw mut info) as u64;
    // SAFETY: the attributes are those of the command; the buffers outlive the call and are as long as stated.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD as libc::c_long,
            &raw mut attributes,
            size_of_val(&attributes),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    let count = info.xlated_prog_len as usize / size_of::<[u8; 8]>();
    assert!((1..=MAX).contains(&count), "{count} instructions");
    instructions.truncate(count);
    instructions
}

/// `bpf_unclone_prologue` in net/core/filter.c: `r6 = skb->cloned; r6 &= mask; if r6 == 0 goto +7`.
fn starts_with_unclone(instructions: &[[u8; 8]]) -> bool {
    let start = instructions.iter().take(3);
    start.map(|[code, registers, ..]| (*code, *registers)).eq([
        (0x71, 0x16),
        (0x54, 0x06),
        (0x15, 0x06),
    ])
}
