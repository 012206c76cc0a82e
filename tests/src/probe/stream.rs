//! Bytes that are the same on both ends and different everywhere else, and their checksum.

/// An endless pseudo-random stream (xorshift64*).
#[derive(Clone, Debug)]
pub struct Stream(u64);

impl Stream {
    /// The stream that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Fills `buffer` with what comes next; its length is a multiple of eight.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for word in buffer.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let bytes = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            word.copy_from_slice(&bytes[..word.len()]);
        }
    }
}

/// Random numbers that a seed makes.
#[derive(Clone, Debug)]
pub(crate) struct Random(Stream);

impl Random {
    /// The numbers that belong to `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Stream::new(seed.wrapping_add(1)))
    }

    /// Returns the next number.
    pub(crate) fn next(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// Returns the next eight bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 8] {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        bytes
    }

    /// Returns a number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit.max(1)
    }
}

/// FNV-1a, 64 bit, over everything written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    hash: u64,
    /// How many bytes it covers.
    pub length: u64,
}

impl Checksum {
    /// Of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            length: 0,
        }
    }

    /// Adds `bytes`.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.length += bytes.len() as u64;
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_fnv_1a_and_does_not_depend_on_chunks() {
        let mut whole = Checksum::new();
        whole.write(b"foobar");
        assert_eq!(whole.hash, 0x8594_4171_f739_67e8);
        let mut halves = Checksum::new();
        halves.write(b"foo");
        halves.write(b"bar");
        assert_eq!(whole, halves);
    }

    #[test]
    fn streams_differ_by_seed() {
        let (mut one, mut two) = ([0; 64], [0; 64]);
        Stream::new(1).fill(&mut one);
        Stream::new(2).fill(&mut two);
        assert_ne!(one, two);
    }
}
