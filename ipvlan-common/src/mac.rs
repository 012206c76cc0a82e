//! MAC addresses as integers.

/// A MAC as the low 48 bits of an integer, to compare in one instruction: its first four bytes in the low half
/// of the integer and the other two above them, each in the byte order of the machine.
#[must_use]
#[inline]
#[allow(clippy::cast_lossless, reason = "From is not const")]
pub const fn mac_to_bits(mac: [u8; 6]) -> u64 {
    let head = u32::from_ne_bytes([mac[0], mac[1], mac[2], mac[3]]);
    let tail = u16::from_ne_bytes([mac[4], mac[5]]);
    head as u64 | (tail as u64) << 32
}

/// The MAC of which [`mac_to_bits`] made the low 48 bits; those above are ignored.
#[must_use]
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "takes the parts apart")]
pub const fn mac_from_bits(bits: u64) -> [u8; 6] {
    let head = (bits as u32).to_ne_bytes();
    let tail = ((bits >> 32) as u16).to_ne_bytes();
    [head[0], head[1], head[2], head[3], tail[0], tail[1]]
}
