//! Instructions of BPF (`linux/bpf.h`).

/// One instruction: operation, registers (source in the high half), offset, immediate.
#[derive(Clone, Copy)]
pub(super) struct Instruction(pub(super) u8, pub(super) u8, pub(super) i16, pub(super) i32);

pub(super) const MOVE: u8 = 0xb7;
pub(super) const MOVE_REGISTER: u8 = 0xbf;
pub(super) const ADD: u8 = 0x07;
pub(super) const AND: u8 = 0x57;
pub(super) const XOR: u8 = 0xa7;
/// The lowest half word in the order of the network; the rest is gone.
pub(super) const TO_NETWORK: u8 = 0xdc;
pub(super) const SUBTRACT_REGISTER: u8 = 0x1f;
pub(super) const LOAD_WORD: u8 = 0x61;
pub(super) const LOAD: u8 = 0x79;
pub(super) const STORE: u8 = 0x7b;
pub(super) const LOAD_ADDRESS: u8 = 0x18;
pub(super) const STORE_BYTE: u8 = 0x72;
pub(super) const STORE_HALF: u8 = 0x6a;
pub(super) const STORE_WORD: u8 = 0x62;
pub(super) const STORE_HALF_REGISTER: u8 = 0x6b;
pub(super) const JUMP_UNLESS: u8 = 0x55;
pub(super) const JUMP_IF_GREATER: u8 = 0x2d;
pub(super) const ATOMIC_ADD: u8 = 0xdb;
pub(super) const CALL: u8 = 0x85;
pub(super) const EXIT: u8 = 0x95;
/// `BPF_PSEUDO_MAP_FD`, in the half of the source register.
pub(super) const MAP: u8 = 1 << 4;
/// `BPF_PSEUDO_MAP_VALUE`, in the half of the source register.
pub(super) const MAP_VALUE: u8 = 2 << 4;

impl Instruction {
    /// As the kernel reads it.
    pub(super) fn bytes(self) -> [u8; 8] {
        let Self(operation, registers, offset, immediate) = self;
        let [o0, o1] = offset.to_ne_bytes();
        let [i0, i1, i2, i3] = immediate.to_ne_bytes();
        [operation, registers, o0, o1, i0, i1, i2, i3]
    }
}

/// Returns `value`.
pub(super) const fn give(value: i32) -> [Instruction; 2] {
    [Instruction(MOVE, 0, 0, value), Instruction(EXIT, 0, 0, 0)]
}
