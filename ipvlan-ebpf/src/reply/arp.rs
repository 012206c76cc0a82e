//! The ARP reply: byte for byte what `arp_process` of the kernel sends for the same address on an l2 child.

use crate::{
    parse::{ARP_FRAME_LEN, ARP_LENGTHS, ARPHRD_ETHER, ARPOP_REPLY, Arp, ETH_P_ARP, ETH_P_IP},
    wire::{
        Mac,
        words::{put, u16s_of_u32, u16s_of_u64, u32s_of_u64, u64_of_u16s},
    },
};

/// An ARP message and its Ethernet header, in words of eight bytes. The frame starts [`Self::LEAD`] bytes
/// into the first, as it does in the memory of an skb, so that only the first and the last are not all of it.
///
/// Before Linux 6.8 the verifier refuses programs without `CAP_PERFMON` that write a part of a word on the stack
/// that held a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct ArpFrame([u64; (ArpFrame::LEAD + ARP_FRAME_LEN).div_ceil(8)]);

impl ArpFrame {
    /// Where in the first word the frame starts.
    pub const LEAD: usize = 2;

    /// The frame, of [`ARP_FRAME_LEN`] bytes.
    #[must_use]
    #[inline(always)]
    pub const fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr().cast::<u8>().wrapping_add(Self::LEAD)
    }

    /// Writes the frame.
    ///
    /// # Safety
    ///
    /// There must be room for [`ARP_FRAME_LEN`] bytes at `frame`.
    #[inline(always)]
    pub unsafe fn write(&self, frame: *mut u8) {
        let [first, a, b, c, d, last] = self.0;
        let ([_, head], [tail, _]) = (u32s_of_u64(first), u32s_of_u64(last));
        let [_, before, ..] = u16s_of_u64(first);
        // SAFETY: the last of it ends at `ARP_FRAME_LEN`.
        unsafe {
            put(frame, before);
            put(frame.add(2), head);
            put(frame.add(6), a);
            put(frame.add(14), b);
            put(frame.add(22), c);
            put(frame.add(30), d);
            put(frame.add(38), tail);
        }
    }

    /// The bytes of the frame.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    pub fn bytes(&self) -> [u8; ARP_FRAME_LEN] {
        let mut bytes = [0; ARP_FRAME_LEN];
        // SAFETY: that is room for it.
        unsafe { self.write(bytes.as_mut_ptr()) };
        bytes
    }
}

/// The answer to `request`: its target address is at `own`.
///
/// The bytes of `arp_create` in the kernel: to the sender hardware address (which need not be the
/// source of the frame), hardware type 1, no padding.
#[must_use]
#[inline(always)]
pub fn reply_arp(request: &Arp, own: Mac) -> ArpFrame {
    const HEADER: [u16; 4] = [
        ARPHRD_ETHER.to_be(),
        ETH_P_IP.to_be(),
        ARP_LENGTHS.to_be(),
        ARPOP_REPLY.to_be(),
    ];
    let [to0, to1, to2] = request.sha.words();
    let [own0, own1, own2] = own.words();
    let [spa0, spa1] = u16s_of_u32(u32::from_ne_bytes(request.spa));
    let [tpa0, tpa1] = u16s_of_u32(u32::from_ne_bytes(request.tpa));
    ArpFrame([
        u64_of_u16s([0, to0, to1, to2]),
        u64_of_u16s([own0, own1, own2, ETH_P_ARP.to_be()]),
        u64_of_u16s(HEADER),
        u64_of_u16s([own0, own1, own2, tpa0]),
        u64_of_u16s([tpa1, to0, to1, to2]),
        u64_of_u16s([spa0, spa1, 0, 0]),
    ])
}
