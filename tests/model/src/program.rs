//! The programs of the object, and what a verdict is called where.

use ipvlan_common::{Hook, programs};

/// A program of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Ingress,
    IngressDemux,
    Egress,
    EgressRouted,
    EgressIsolated,
    EgressRoutedIsolated,
    Xdp,
    XdpGeneric,
}

/// The interface that a test run is on: `lo`.
pub const TEST_IFINDEX: u32 = 1;

/// What the kernel knows about where an skb comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The interface that received it, 0 if none did.
    pub ingress_ifindex: u32,
    /// A socket of a netns other than the host's sent it.
    pub other_netns: bool,
}

impl Origin {
    /// The parent received it.
    pub const RECEIVED: Self = Self {
        ingress_ifindex: TEST_IFINDEX,
        other_netns: false,
    };
    /// Another interface received it.
    pub const FORWARDED: Self = Self {
        ingress_ifindex: TEST_IFINDEX + 1,
        other_netns: false,
    };
    /// A container sent it.
    pub const CONTAINER: Self = Self {
        ingress_ifindex: 0,
        other_netns: true,
    };
}

/// Programs that see frames from the wire, and treat ARP alike.
pub const WIRE: &[Program] = &[Program::Ingress, Program::IngressDemux, Program::Xdp];
/// Those of them on a TC hook: they see which MACs are those of the interface that received the frame.
pub const TC_INGRESS: &[Program] = &[Program::Ingress, Program::IngressDemux];
/// That of them on the XDP hook.
pub const XDP: &[Program] = &[Program::Xdp];
/// That of them which looks at IP packets, and those which do not.
pub const DEMUX: &[Program] = &[Program::IngressDemux];
pub const NOT_DEMUX: &[Program] = &[Program::Ingress, Program::Xdp];
/// The longest frame that XDP answers, in bytes: a longer one can be of several buffers.
pub const ONE_BUFFER: usize = 1_522;
/// Programs that see frames of the host and of l2 children, and treat ARP alike.
pub const EGRESS: &[Program] = &[
    Program::Egress,
    Program::EgressRouted,
    Program::EgressIsolated,
    Program::EgressRoutedIsolated,
];
/// Those of them that look up packets for every MAC, and those that look up packets for the MAC they come from.
pub const ROUTED: &[Program] = &[Program::EgressRouted, Program::EgressRoutedIsolated];
pub const NOT_ROUTED: &[Program] = &[Program::Egress, Program::EgressIsolated];
/// Programs on a TC hook.
pub const TC: &[Program] = &[
    Program::Ingress,
    Program::IngressDemux,
    Program::Egress,
    Program::EgressRouted,
    Program::EgressIsolated,
    Program::EgressRoutedIsolated,
];

impl Program {
    /// Those that differ in what they do.
    pub const ALL: &[Self] = &[
        Self::Ingress,
        Self::IngressDemux,
        Self::Egress,
        Self::EgressRouted,
        Self::EgressIsolated,
        Self::EgressRoutedIsolated,
        Self::Xdp,
    ];

    /// All there are: one for generic XDP is the same code, loaded otherwise.
    pub const LOADED: &[Self] = &[
        Self::Ingress,
        Self::IngressDemux,
        Self::Egress,
        Self::EgressRouted,
        Self::EgressIsolated,
        Self::EgressRoutedIsolated,
        Self::Xdp,
        Self::XdpGeneric,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingress => programs::PARENT_INGRESS,
            Self::IngressDemux => programs::PARENT_INGRESS_DEMUX,
            Self::Egress => programs::PARENT_EGRESS,
            Self::EgressRouted => programs::PARENT_EGRESS_ROUTED,
            Self::EgressIsolated => programs::PARENT_EGRESS_ISOLATED,
            Self::EgressRoutedIsolated => programs::PARENT_EGRESS_ROUTED_ISOLATED,
            Self::Xdp => programs::PARENT_XDP,
            Self::XdpGeneric => programs::PARENT_XDP_GENERIC,
        }
    }

    pub const fn hook(self) -> Hook {
        match self {
            Self::Ingress | Self::IngressDemux => Hook::Ingress,
            Self::Egress
            | Self::EgressRouted
            | Self::EgressIsolated
            | Self::EgressRoutedIsolated => Hook::Egress,
            Self::Xdp | Self::XdpGeneric => Hook::Xdp,
        }
    }

    /// Whether it looks up packets for every MAC.
    pub const fn is_routed(self) -> bool {
        matches!(self, Self::EgressRouted | Self::EgressRoutedIsolated)
    }

    /// Whether it asks for the netns of a socket.
    pub const fn asks_netns(self) -> bool {
        matches!(self, Self::EgressIsolated | Self::EgressRoutedIsolated)
    }
}

/// What a verdict does with the frame, whatever the hook calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// `TC_ACT_UNSPEC`, `XDP_PASS`.
    Pass,
    /// `TC_ACT_SHOT`, `XDP_DROP`.
    Drop,
    /// `TC_ACT_REDIRECT`, `XDP_TX`. Where to, a test run does not tell.
    Send,
}

impl Act {
    pub const fn code(self, program: Program) -> i32 {
        match (program.hook(), self) {
            (Hook::Xdp, Self::Pass) => 2,
            (Hook::Xdp, Self::Drop) => 1,
            (Hook::Xdp, Self::Send) => 3,
            (_, Self::Pass) => -1,
            (_, Self::Drop) => 2,
            (_, Self::Send) => 7,
        }
    }
}
