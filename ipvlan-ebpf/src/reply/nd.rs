//! The answer to a solicitation (RFC 4861 §4.4): byte for byte what `ndisc_send_na` of the kernel sends
//! for the same address on an l2 child.

use ipvlan_common::Config;

use crate::{
    parse::{Asked, ETH_P_IPV6, ND_FRAME_LEN, ND_START, OPTION_TARGET_LINK_LAYER, parse_asked},
    wire::{
        Frame, Ip6, Mac, checksum,
        words::{put, u16s_of_u32, u64_of_u16s},
    },
};

/// Flags of an advertisement, in the first byte of its second word (RFC 4861 §4.4).
pub(crate) const ROUTER: u32 = 1 << 7;
pub(crate) const SOLICITED: u32 = 1 << 6;
pub(crate) const OVERRIDE: u32 = 1 << 5;

/// Beside the flags: the advertisement includes the link-layer address. The sender of a multicast solicitation needs
/// it (RFC 4861 §7.2.4), that of a unicast one has it.
pub(crate) const LINK_LAYER: u32 = 1 << 8;

/// Length of a frame with an advertisement that includes its link-layer address.
pub const ADVERTISEMENT_MAX: usize = ND_FRAME_LEN + 8;

const ADVERTISEMENT: u16 = u16::from_ne_bytes([136, 0]);
const VERSION: [u16; 2] = [u16::from_ne_bytes([0x60, 0]), 0];
const NEXT_HEADER_AND_HOP_LIMIT: u16 = u16::from_ne_bytes([58, 255]);
const OPTION: u16 = u16::from_ne_bytes([OPTION_TARGET_LINK_LAYER, 1]);

/// What an advertisement needs to know beside its solicitation, in one register: a function that gets
/// nothing else is followed by the verifier once, and not once for each way to get there.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct ReplyTo(u64);

impl ReplyTo {
    /// An advertisement to `mac` with these [`NdDecision::flags`](crate::decide::nd::NdDecision::flags).
    #[must_use]
    #[inline(always)]
    pub fn new(mac: Mac, flags: u32) -> Self {
        Self(mac.low_bits() | u64::from(flags) << 48)
    }

    /// The MAC and the flags.
    #[must_use]
    #[inline(always)]
    pub const fn parts(self) -> (Mac, u32) {
        (Mac::from_low_bits(self.0), (self.0 >> 48) as u32)
    }
}

/// An advertisement before it is written.
#[derive(Clone, Copy, Debug)]
pub struct Advertisement {
    to_mac: Mac,
    own: Mac,
    to: Ip6,
    target: Ip6,
    checksum: u16,
    flags: u32,
    /// Length of the frame.
    len: usize,
}

impl Advertisement {
    /// The answer to the solicitation in `frame`, which was parsed before: its target is at the parent's MAC.
    #[must_use]
    #[inline(always)]
    pub fn answering(frame: Frame<'_>, to: ReplyTo, config: Config) -> Option<Self> {
        let asked = parse_asked(frame)?;
        let (mac, flags) = to.parts();
        Some(Self::new(mac, asked, flags, Mac::of_parent(config)))
    }

    /// The answer to whom is at `mac` and asked from `src`: `target` is at `own`. `flags` as
    /// [`NdDecision::flags`](crate::decide::nd::NdDecision::flags).
    #[must_use]
    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "flags are the low byte of theirs"
    )]
    fn new(mac: Mac, Asked { src, target }: Asked, flags: u32, own: Mac) -> Self {
        let long = flags & LINK_LAYER != 0;
        // Whoever asks from `::` cannot be sent anything (RFC 4861 §7.2.4).
        let (to_mac, to) = if flags & SOLICITED == 0 {
            (Ip6::ALL_NODES.group_mac(), Ip6::ALL_NODES)
        } else {
            (mac, src)
        };
        let flags = u32::from_ne_bytes([flags as u8, 0, 0, 0]);
        let len = if long {
            ADVERTISEMENT_MAX
        } else {
            ND_FRAME_LEN
        };
        let mut sum = checksum::pseudo_header(target, to, len - ND_START)
            + checksum::address(target)
            + u64::from(ADVERTISEMENT)
            + u64::from(flags);
        if long {
            let [m0, m1, m2] = own.words();
            sum += u64::from(OPTION) + u64::from(m0) + u64::from(m1) + u64::from(m2);
        }
        Self {
            to_mac,
            own,
            to,
            target,
            checksum: !checksum::fold(sum),
            flags,
            len,
        }
    }

    /// Length of the frame, [`ND_FRAME_LEN`] or [`ADVERTISEMENT_MAX`].
    #[must_use]
    #[inline(always)]
    pub const fn frame_len(&self) -> usize {
        self.len
    }

    /// The whole frame.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; ADVERTISEMENT_MAX];
        // SAFETY: that is room for both.
        unsafe {
            self.write(bytes.as_mut_ptr());
            self.write_option(bytes.as_mut_ptr());
        }
        bytes.truncate(self.len);
        bytes
    }

    /// Writes the first [`ND_FRAME_LEN`] bytes, which every advertisement has.
    ///
    /// In words, where a frame starts two bytes behind a multiple of eight: on the stack the verifier wants
    /// pieces that are aligned, and without `CAP_PERFMON` before Linux 6.8 no part of a word that the compiler
    /// might have written whole.
    ///
    /// # Safety
    ///
    /// There must be that much room at `frame`.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "a length below 256")]
    pub unsafe fn write(&self, frame: *mut u8) {
        let [target_first, target_last] = self.target.halves();
        let [to_first, to_last] = self.to.halves();
        let payload_len = ((self.len - ND_START) as u16).to_be();
        // SAFETY: the last of it ends at `ND_FRAME_LEN`.
        unsafe {
            let (first, others) = self.to_mac.split_first();
            put(frame, first);
            put(frame.add(2), others);
            let [a, b, c] = self.own.words();
            put(frame.add(6), u64_of_u16s([a, b, c, ETH_P_IPV6.to_be()]));
            let [version, flow] = VERSION;
            let header = [version, flow, payload_len, NEXT_HEADER_AND_HOP_LIMIT];
            put(frame.add(14), u64_of_u16s(header));
            put(frame.add(22), target_first);
            put(frame.add(30), target_last);
            put(frame.add(38), to_first);
            put(frame.add(46), to_last);
            let [flags, reserved] = u16s_of_u32(self.flags);
            let message = [ADVERTISEMENT, self.checksum, flags, reserved];
            put(frame.add(54), u64_of_u16s(message));
            put(frame.add(62), target_first);
            put(frame.add(70), target_last);
        }
    }

    /// Writes the option with the link-layer address, which ends a frame of [`ADVERTISEMENT_MAX`] bytes.
    ///
    /// # Safety
    ///
    /// There must be that much room at `frame`.
    #[inline(always)]
    pub unsafe fn write_option(&self, frame: *mut u8) {
        // SAFETY: the last of it ends at `ADVERTISEMENT_MAX`.
        unsafe {
            let [a, b, c] = self.own.words();
            put(frame.add(ND_FRAME_LEN), u64_of_u16s([OPTION, a, b, c]));
        }
    }
}
