//! The version of the layouts, and the names of maps, variables and programs in the eBPF object.

/// Number of this set of layouts. Goes up whenever the meaning or the size of anything in this
/// crate changes; the loader refuses to share maps with another number.
pub const LAYOUT: u32 = if cfg!(feature = "next-layout") { 8 } else { 7 };

/// Names of the maps in the eBPF object, as the loader asks for them.
pub mod maps {
    /// Hash map, IPv4 address (4 bytes, network order) → [`AddressEntry`](crate::AddressEntry).
    pub const ADDRESSES_V4: &str = "ADDRESSES_V4";
    /// Hash map, IPv6 address (16 bytes, network order) → [`AddressEntry`](crate::AddressEntry).
    pub const ADDRESSES_V6: &str = "ADDRESSES_V6";
    /// Array of [`SlotV4`](crate::index::SlotV4)s that can be mapped: the [`index`](crate::index) of
    /// [`ADDRESSES_V4`].
    pub const INDEX_V4: &str = "INDEX_V4";
    /// Array of [`SlotV6`](crate::index::SlotV6)s that can be mapped: the [`index`](crate::index) of
    /// [`ADDRESSES_V6`].
    pub const INDEX_V6: &str = "INDEX_V6";
    /// Array of one [`Control`](crate::Control).
    pub const CONFIG: &str = "CONFIG";
    /// Per-CPU array of `u64`, indexed by [`counter_index`](crate::counter_index).
    pub const COUNTERS: &str = "COUNTERS";
    /// Per-CPU array of [`ChildRecord`](crate::ChildRecord)s, indexed by
    /// [`AddressEntry::slot`](crate::AddressEntry::slot).
    pub const CHILD_COUNTERS: &str = "CHILD_COUNTERS";
    /// Ring buffer of [`Event`](crate::Event)s.
    pub const EVENTS: &str = "EVENTS";
    /// All that the loader fills or reads.
    pub const ALL: [&str; 8] = [
        ADDRESSES_V4,
        ADDRESSES_V6,
        INDEX_V4,
        INDEX_V6,
        CONFIG,
        COUNTERS,
        CHILD_COUNTERS,
        EVENTS,
    ];

    /// Ring buffer of records with a [`CaptureHeader`](crate::CaptureHeader), in the object that captures.
    pub const CAPTURE: &str = "CAPTURE";
    /// Per-CPU array of one `u64`, in the object that captures: frames that [`CAPTURE`] had no room for.
    pub const CAPTURE_LOST: &str = "CAPTURE_LOST";
    /// Array of one `u32`, in the object that captures: how many bytes of a frame are captured.
    pub const CAPTURE_LENGTH: &str = "CAPTURE_LENGTH";
}

/// Names of the read-only variables of the programs, which the loader sets.
pub mod globals {
    /// The cookie of the host's netns (`SO_NETNS_COOKIE`), a `u64` in the byte order of the machine; 0 is that
    /// of no netns. The programs with [`PARENT_EGRESS_ISOLATED`](super::programs::PARENT_EGRESS_ISOLATED) in
    /// their names read it.
    pub const HOST_COOKIE: &str = "HOST_COOKIE";
}

/// Names of the programs in the eBPF object.
///
/// The loader loads only the variants that it attaches, and replaces one by another when what is
/// asked of the parent changes: a parent pays only for what its children need.
pub mod programs {
    /// TC ingress of the parent: answers neighbour requests from the wire.
    pub const PARENT_INGRESS: &str = "parent_ingress";
    /// [`PARENT_INGRESS`] that also looks every IP packet up and redirects it to the children
    /// with [`Delivery::Redirect`](crate::Delivery::Redirect).
    pub const PARENT_INGRESS_DEMUX: &str = "parent_ingress_demux";
    /// TC egress of the parent: answers the host's neighbour requests and turns host→child packets
    /// around. Recognises them by destination MAC == source MAC.
    pub const PARENT_EGRESS: &str = "parent_egress";
    /// [`PARENT_EGRESS`] that also looks up packets for other MACs: for children that the host
    /// routes through a gateway.
    pub const PARENT_EGRESS_ROUTED: &str = "parent_egress_routed";
    /// [`PARENT_EGRESS`] that also asks for the netns of the socket that sent a packet from the host's
    /// address, under [`ConfigFlags::ISOLATED`](crate::ConfigFlags::ISOLATED). Linux 6.15 and newer.
    pub const PARENT_EGRESS_ISOLATED: &str = "parent_egress_isolated";
    /// [`PARENT_EGRESS_ROUTED`] that does the same.
    pub const PARENT_EGRESS_ROUTED_ISOLATED: &str = "parent_egress_routed_isolated";
    /// XDP on the parent: the neighbour part of [`PARENT_INGRESS`], before an skb exists.
    pub const PARENT_XDP: &str = "parent_xdp";
    /// The same for generic mode: frames come to it in one piece.
    pub const PARENT_XDP_GENERIC: &str = "parent_xdp_generic";
}
