//! A program run over the same frame as often as required, though it changes the frame.
//!
//! `BPF_PROG_TEST_RUN` repeats a run over what the run before has left. So what is run here is a program that first
//! writes the frame anew, and then goes on as the program that is to be measured (a tail call). It can put another
//! random number into the frame each time, so that the entry of the address is not in the processor's cache anyway.

use anyhow::{Context, Result, ensure};
use aya::{
    TestRunOptions,
    maps::{MapData, ProgramArray},
    programs::ProgramFd,
};

use super::{Globals, Hook, PLACES, Program, TC_ACT_UNSPEC, load};

/// Half words of a frame that have another number in each run.
#[derive(Clone, Debug, Default)]
pub struct Varied {
    /// The bits of the number that can be set.
    pub mask: u16,
    /// Its offsets.
    pub with: Vec<usize>,
    /// Offsets of its complement, so that sums over both stay what they are.
    pub against: Vec<usize>,
}

/// A program behind one that writes its frame anew.
pub struct Restored {
    program: Program,
    frame: Vec<u8>,
    /// The kernel empties it when the last descriptor of it is closed.
    _next: ProgramArray<MapData>,
}

impl Restored {
    /// Puts a program in front of `then`, which is loaded for `hook`, XDP with frags.
    pub fn new(hook: Hook, frame: &[u8], varied: &Varied, then: &ProgramFd) -> Result<Self> {
        let globals = Globals {
            length: u32::try_from(frame.len())?,
            mask: varied.mask,
            with: places(&varied.with)?,
            against: places(&varied.against)?,
            ..Globals::of(TC_ACT_UNSPEC)
        };
        let name = match hook {
            Hook::Xdp => "xdp_restore",
            Hook::Tc | Hook::Egress => "tc_restore",
        };
        let mut program = load(hook, name, globals)?;
        program.write(frame)?;
        let mut next: ProgramArray<MapData> = program.take("NEXT")?.try_into()?;
        next.set(0, then, 0)
            .context("cannot put a program into a map")?;
        Ok(Self {
            program,
            frame: frame.to_owned(),
            _next: next,
        })
    }

    /// Runs both `repeat` times; returns the last verdict and nanoseconds per run.
    pub fn run(&self, repeat: u32) -> Result<(i32, u32)> {
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            repeat,
            ..TestRunOptions::new()
        };
        let done = self.program.test_run(options)?;
        let nanoseconds = u32::try_from(done.duration.as_nanos())?;
        Ok((done.return_value.cast_signed(), nanoseconds))
    }
}

/// Returns offsets as the program has them: one beyond the frame is none.
fn places(offsets: &[usize]) -> Result<[u16; PLACES]> {
    ensure!(offsets.len() <= PLACES, "{} offsets", offsets.len());
    let mut places = [u16::MAX; PLACES];
    for (place, offset) in places.iter_mut().zip(offsets) {
        *place = u16::try_from(*offset)?;
    }
    Ok(places)
}
