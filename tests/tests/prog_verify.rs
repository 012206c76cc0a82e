//! The kernel of this machine loads every program, and verifying them costs it little.

mod common;

use common::datapath::{Datapath, Program};

/// Budget of the project for the verifier's work on one program.
const VERIFIER_INSTRUCTIONS: u32 = 5_000;
/// Bytes per instruction.
const INSTRUCTION: u32 = 8;

#[test]
fn every_program_loads_within_the_verifier_budget() {
    let datapath = Datapath::load();
    println!("program                instructions  verifier instructions  native bytes");
    for &program in Program::ALL {
        let info = datapath.info(program);
        let size = info.size_translated().expect("root sees the size") / INSTRUCTION;
        let verified = info
            .verified_instruction_count()
            .expect("Linux >= 5.16 tells what verifying took");
        println!(
            "{:<22} {size:>12}  {verified:>21}  {:>12}",
            program.name(),
            info.size_jitted()
        );
        assert!(
            (1..=VERIFIER_INSTRUCTIONS).contains(&verified),
            "{} took the verifier {verified} instructions",
            program.name()
        );
    }
}
