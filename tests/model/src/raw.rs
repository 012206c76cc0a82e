//! Commands of bpf(2) that aya has no call for.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
/// More than any program here has.
const MAX_INSTRUCTIONS: usize = 8_192;

/// `struct bpf_insn`; in `registers` the destination is the low half.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

pub const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers,
        offset,
        immediate,
    }
}

/// Loads a TC program.
pub fn load_classifier(instructions: &[Instruction]) -> OwnedFd {
    #[repr(C)]
    struct Attributes {
        program_type: u32,
        count: u32,
        instructions: u64,
        licence: u64,
    }
    let attributes = Attributes {
        program_type: BPF_PROG_TYPE_SCHED_CLS,
        count: u32::try_from(instructions.len()).expect("a short program"),
        instructions: instructions.as_ptr().expose_provenance() as u64,
        licence: c"Dual MIT/GPL".as_ptr().expose_provenance() as u64,
    };
    // SAFETY: the layout is the start of `union bpf_attr` for the command, and what it points to
    // outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    assert!(fd >= 0, "BPF_PROG_LOAD: {}", io::Error::last_os_error());
    let fd = RawFd::try_from(fd).expect("a file descriptor");
    // SAFETY: the call has just made it, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// The instructions that the kernel runs for a program, after the verifier rewrote it.
pub fn translated(program: BorrowedFd<'_>) -> Vec<Instruction> {
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        program_type: u32,
        id: u32,
        tag: [u8; 8],
        jited_len: u32,
        translated_len: u32,
        jited: u64,
        translated: u64,
    }
    #[repr(C)]
    struct Attributes {
        fd: u32,
        len: u32,
        info: u64,
    }
    let mut instructions = vec![Instruction::default(); MAX_INSTRUCTIONS];
    let mut info = Info {
        translated_len: u32::try_from(size_of_val(&instructions[..])).expect("64 KiB"),
        translated: instructions.as_mut_ptr().expose_provenance() as u64,
        ..Info::default()
    };
    let attributes = Attributes {
        fd: program.as_raw_fd().cast_unsigned(),
        len: u32::try_from(size_of::<Info>()).expect("40 bytes"),
        info: (&raw mut info).expose_provenance() as u64,
    };
    // SAFETY: the layouts are the start of `union bpf_attr` for the command and of
    // `struct bpf_prog_info`, and what they point to outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    let count = info.translated_len as usize / size_of::<Instruction>();
    assert!((1..=MAX_INSTRUCTIONS).contains(&count), "{count}");
    instructions.truncate(count);
    instructions
}
