//! Records of captured frames.

use crate::{Hook, Reason};

/// Most bytes of a frame that a record holds.
pub const CAPTURE_SNAP: u32 = 2048;

const _: () = assert!(CAPTURE_SNAP.is_power_of_two(), "the program masks with it");

/// Head of a record of the `CAPTURE` ring buffer: 24 bytes, no padding. The first bytes of the frame follow, up to
/// the end of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct CaptureHeader {
    /// When the verdict was given, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// Number of the hook in the upper half, of the reason in the lower half.
    pub verdict: u64,
    /// Index of the child's counters; [`AddressEntry::NO_SLOT`](crate::AddressEntry::NO_SLOT) if the frame concerns
    /// no child.
    pub slot: u32,
    /// Length of the frame, in bytes.
    pub len: u32,
}

const _: () = assert!(size_of::<CaptureHeader>() == 24 && align_of::<CaptureHeader>() == 8);

impl CaptureHeader {
    /// Returns [`Self::verdict`] of a frame at this hook, with the number of its reason.
    #[must_use]
    #[inline]
    pub const fn verdict_of(hook: Hook, number: u8) -> u64 {
        (hook as u64) << 32 | number as u64
    }

    /// Splits a record into its head and the bytes of the frame. `None` if the record is too short.
    #[must_use]
    pub fn from_record(record: &[u8]) -> Option<(Self, &[u8])> {
        let (head, data) = record.split_first_chunk::<{ size_of::<Self>() }>()?;
        let (words, _) = head.as_chunks::<8>();
        let &[time, verdict, last] = words else {
            return None;
        };
        let [s0, s1, s2, s3, l0, l1, l2, l3] = last;
        let header = Self {
            time: u64::from_ne_bytes(time),
            verdict: u64::from_ne_bytes(verdict),
            slot: u32::from_ne_bytes([s0, s1, s2, s3]),
            len: u32::from_ne_bytes([l0, l1, l2, l3]),
        };
        Some((header, data))
    }

    /// Returns where the frame was seen; `None` for a number that this build does not know.
    #[must_use]
    pub const fn hook(&self) -> Option<Hook> {
        match self.verdict >> 32 {
            0 => Some(Hook::Ingress),
            1 => Some(Hook::Egress),
            2 => Some(Hook::Xdp),
            _ => None,
        }
    }

    /// Returns the reason; [`Reason::Unknown`] for a number that this build does not know.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the number of a reason fits a byte"
    )]
    pub const fn reason(&self) -> Reason {
        Reason::from_number(self.verdict as u8)
    }
}

/// Value of the `CAPTURE_RECORD` map, per CPU: the record that is being made.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CaptureRecord {
    /// Its head.
    pub header: CaptureHeader,
    /// The first bytes of the frame.
    pub data: [u8; CAPTURE_SNAP as usize],
}

const _: () = assert!(size_of::<CaptureRecord>() == 24 + CAPTURE_SNAP as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_is_written() {
        let mut record = [0; 27];
        record[..8].copy_from_slice(&7_u64.to_ne_bytes());
        let verdict = CaptureHeader::verdict_of(Hook::Xdp, Reason::NdAnswered as u8);
        record[8..16].copy_from_slice(&verdict.to_ne_bytes());
        record[16..20].copy_from_slice(&5_u32.to_ne_bytes());
        record[20..24].copy_from_slice(&90_u32.to_ne_bytes());
        record[24..].copy_from_slice(b"abc");
        let (header, data) = CaptureHeader::from_record(&record).unwrap();
        assert_eq!((header.time, header.slot, header.len), (7, 5, 90));
        assert_eq!(header.hook(), Some(Hook::Xdp));
        assert_eq!(header.reason(), Reason::NdAnswered);
        assert_eq!(data, b"abc");
        assert!(CaptureHeader::from_record(&record[..23]).is_none());
    }
}
