//! A program run over the same frame as often as one likes, though it changes it.
//!
//! `BPF_PROG_TEST_RUN` repeats a run over what the run before has left. So what is run here is a program
//! that first writes the frame anew, and then goes on as the program that is to be measured (a tail
//! call). It can put another number into the frame each time, at random: who is asked for is then not
//! what the processor has at hand anyway.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};

use super::{
    Hook, Program,
    call::{MAP_UPDATE_ELEM, PROG_TEST_RUN, TestRun, bpf, element, map, word},
    instruction::{
        ADD, AND, CALL, Instruction, JUMP_IF_GREATER, LOAD_ADDRESS, LOAD_WORD, MAP, MOVE,
        MOVE_REGISTER, STORE_HALF_REGISTER, TO_NETWORK, XOR, give,
    },
    load, stores,
};

const MAP_TYPE_PROG_ARRAY: u32 = 3;
// Helpers.
const GET_PRANDOM_U32: i32 = 7;
const TAIL_CALL: i32 = 12;
/// What no program of ours returns (`TC_ACT_STOLEN`; no verdict of XDP has this number).
const NOT_REACHED: i32 = 4;

/// Which half words of a frame have another number in each run.
#[derive(Clone, Debug, Default)]
pub struct Varied {
    /// Which bits of the number may be set.
    pub mask: u16,
    /// Where it is.
    pub with: Vec<usize>,
    /// Where its complement is, so that sums over both stay what they are.
    pub against: Vec<usize>,
}

/// A program behind one that writes its frame anew.
#[derive(Debug)]
pub struct Restored {
    program: Program,
    frame: Vec<u8>,
    _array: OwnedFd,
}

impl Restored {
    /// `then` is loaded for `hook`, XDP with frags; `frame` is of even length.
    pub fn new(hook: Hook, frame: &[u8], varied: &Varied, then: BorrowedFd<'_>) -> Result<Self> {
        let array = array_of(then)?;
        let (data, end) = match hook {
            Hook::Xdp => (0, 4),
            Hook::Tc | Hook::Egress => (76, 80),
        };
        let mut program = vec![
            // r6 = context, r7 = number, r8 = its complement
            Instruction(MOVE_REGISTER, 0x16, 0, 0),
            Instruction(CALL, 0, 0, GET_PRANDOM_U32),
            Instruction(MOVE_REGISTER, 0x07, 0, 0),
            Instruction(AND, 7, 0, varied.mask.into()),
            Instruction(TO_NETWORK, 7, 0, 16),
            Instruction(MOVE_REGISTER, 0x78, 0, 0),
            Instruction(XOR, 8, 0, 0xffff),
            // r2 = data; if data + length > data_end, do not go on
            Instruction(LOAD_WORD, 0x62, data, 0),
            Instruction(LOAD_WORD, 0x63, end, 0),
            Instruction(MOVE_REGISTER, 0x24, 0, 0),
            Instruction(ADD, 4, 0, i32::try_from(frame.len())?),
        ];
        let mut body = stores(frame)?;
        for (register, places) in [(0x72, &varied.with), (0x82, &varied.against)] {
            for &place in places {
                let place = i16::try_from(place)?;
                body.push(Instruction(STORE_HALF_REGISTER, register, place, 0));
            }
        }
        body.extend([
            Instruction(MOVE_REGISTER, 0x61, 0, 0),
            Instruction(LOAD_ADDRESS, MAP | 2, 0, array.as_raw_fd()),
            Instruction(0, 0, 0, 0),
            Instruction(MOVE, 3, 0, 0),
            Instruction(CALL, 0, 0, TAIL_CALL),
        ]);
        let over = i16::try_from(body.len())?;
        program.push(Instruction(JUMP_IF_GREATER, 0x34, over, 0));
        program.extend(body);
        program.extend(give(NOT_REACHED));
        Ok(Self {
            program: load(hook, &program)?,
            frame: frame.to_owned(),
            _array: array,
        })
    }

    /// Runs both `repeat` times; gives the last verdict and nanoseconds per run.
    pub fn run(&self, repeat: u32) -> Result<(i32, u32)> {
        let mut attributes = TestRun {
            prog_fd: word(self.program.descriptor.as_raw_fd()),
            data_size_in: u32::try_from(self.frame.len())?,
            data_in: self.frame.as_ptr() as u64,
            repeat,
            ..TestRun::default()
        };
        bpf(PROG_TEST_RUN, &mut attributes).context("cannot run a program")?;
        Ok((attributes.retval.cast_signed(), attributes.duration))
    }
}

/// An array whose only program is `program`.
fn array_of(program: BorrowedFd<'_>) -> Result<OwnedFd> {
    let array = map(MAP_TYPE_PROG_ARRAY, [4, 4], 1)?;
    element(
        MAP_UPDATE_ELEM,
        &array,
        &0_u32,
        &mut word(program.as_raw_fd()),
    )
    .context("cannot put a program into a map")?;
    Ok(array)
}
