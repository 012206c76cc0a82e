//! What the kernel tells of a loaded program.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::{Context, Result, ensure};

use nix::{errno::Errno, net::if_::if_nametoindex};

use super::call::{
    OBJ_GET_INFO_BY_FD, ObjectInfo, PROG_GET_FD_BY_ID, PROG_QUERY, ProgById, bpf, descriptor, word,
};

/// `struct bpf_prog_info` up to the field that is read, in words; a longer one is cut by the kernel.
const WORDS: usize = 55;
/// `offsetof(struct bpf_prog_info, verified_insns)`, in words.
const VERIFIED: usize = 216 / 4;

/// How many instructions the verifier had to look at for the program with this id.
pub fn verified_instructions(id: u32) -> Result<u32> {
    let mut by_id = ProgById {
        id,
        ..ProgById::default()
    };
    let program =
        bpf(PROG_GET_FD_BY_ID, &mut by_id).with_context(|| format!("cannot open program {id}"))?;
    let program = descriptor(program)?;
    let mut info = [0u32; WORDS];
    let mut attributes = ObjectInfo {
        bpf_fd: word(program.as_raw_fd()),
        info_len: u32::try_from(size_of_val(&info))?,
        info: (&raw mut info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attributes)
        .with_context(|| format!("cannot ask about program {id}"))?;
    Ok(info[VERIFIED])
}

/// Returns how many TCX programs `device` of the current netns has at `attach_type`.
pub fn tcx_programs(device: &str, attach_type: u32) -> Result<u32> {
    // The words of `union bpf_attr` for this command; without a place for ids the kernel writes their count alone.
    const COUNT: usize = 6;
    let mut query = [0u32; 16];
    query[0] = if_nametoindex(device).with_context(|| format!("no {device} here"))?;
    query[1] = attach_type;
    match bpf(PROG_QUERY, &mut query) {
        Ok(_) => Ok(query[COUNT]),
        // No TCX before 6.6, or nothing was ever attached.
        Err(Errno::EINVAL | Errno::ENOENT) => Ok(0),
        Err(errno) => Err(errno).with_context(|| format!("cannot query TCX of {device}")),
    }
}

/// Returns the instructions that the kernel runs for a program, after the verifier rewrote it.
pub fn translated(program: BorrowedFd<'_>) -> Result<Vec<[u8; 8]>> {
    /// More than any program here has.
    const MAX: usize = 8_192;

    /// The start of `struct bpf_prog_info`.
    #[derive(Default)]
    #[repr(C)]
    struct Info {
        before: [u32; 5],
        translated_len: u32,
        jited: u64,
        translated: u64,
    }

    let mut instructions = vec![[0; 8]; MAX];
    let mut info = Info {
        translated_len: u32::try_from(size_of_val(&instructions[..]))?,
        translated: instructions.as_mut_ptr() as u64,
        ..Info::default()
    };
    let mut attributes = ObjectInfo {
        bpf_fd: word(program.as_raw_fd()),
        info_len: u32::try_from(size_of::<Info>())?,
        info: (&raw mut info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attributes).context("cannot read the instructions")?;
    let count = info.translated_len as usize / size_of::<[u8; 8]>();
    ensure!((1..=MAX).contains(&count), "{count} instructions");
    instructions.truncate(count);
    Ok(instructions)
}
