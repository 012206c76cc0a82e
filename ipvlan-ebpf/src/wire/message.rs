//! An `ICMPv6` message of neighbour discovery, outside of its frame.

/// The longest message that is read, in bytes. The kernel has no such limit, but nothing that is seen
/// on a LAN comes near: link-layer address and nonce (RFC 7527) make 40, and the longest, a signed one
/// (SEND, RFC 3971), stays unanswered.
pub const ND_MAX: usize = 128;

/// A whole `ICMPv6` message, in units of the length of options: eight bytes, as they are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Message(pub [u64; ND_MAX / 8]);

const _: () = assert!(size_of::<Message>() == ND_MAX);
