//! Why a program did what it did with a frame.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $word:literal;)+) => {
        /// Why a program did what it did with a frame it looked at. Counted per hook.
        ///
        /// Numbers are never reused, fit into a byte, and words are part of the `--json` output. The
        /// type itself is a word wide, so that structures with one have no padding: the compiler may
        /// copy padding, and the verifier does not let a program read what it has not written.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        /// Every reason, in order of its number.
        pub const REASONS: &[Reason] = &[$(Reason::$name),+];

        impl Reason {
            /// The reason with this number, [`Reason::Unknown`] if there is none.
            #[must_use]
            #[inline]
            pub const fn from_number(number: u8) -> Self {
                /// A bit for each number, all of which are below 64: the verifier follows one branch less.
                const KNOWN: u64 = $(1 << $number)|+;
                if number < 64 && KNOWN & 1 << number != 0 {
                    // Not a `match`, of which the verifier follows every arm, and all that is behind it
                    // once for each.
                    // SAFETY: there is a reason with this number, and numbers are what the type holds.
                    unsafe { core::mem::transmute::<u32, Self>(number as u32) }
                } else {
                    Self::Unknown
                }
            }

            /// The word for it in `status`, metrics and docs.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// One sentence about it.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)+
                }
            }
        }
    };
}

reasons! {
    /// A number that this build does not know.
    Unknown = 0, "unknown";

    /// Answered an ARP request.
    ArpAnswered = 1, "arp_answered";
    /// Turned a packet around from the parent's egress to its ingress.
    Hairpinned = 2, "hairpinned";
    /// Redirected a packet to a child in the parent's netns.
    Redirected = 3, "redirected";
    /// Dropped a request for neither host nor child before the driver clones it to every l2 child.
    ForeignDropped = 4, "foreign_dropped";
    /// Answered a neighbour solicitation.
    NdAnswered = 5, "nd_answered";
    /// Not the reason of a frame: an event about an address that the agent is probing for exceeded the
    /// rate of such events.
    ProbedEventSuppressed = 6, "probed_event_suppressed";
    /// The child's address is off-link for the host, and the operator did not allow its prefix.
    OffLink = 7, "off_link";
    /// Set the broadcast flag of an l2 child's DHCP request, so that the reply is a broadcast.
    DhcpBroadcast = 8, "dhcp_broadcast";
    /// An l2 child's DHCP request that identifies its client only by the MAC, which all children share. Its
    /// broadcast flag is set as well.
    DhcpNoClientId = 9, "dhcp_no_client_id";
    /// The target is an address of the host for which its kernel would not answer the child on the parent:
    /// left to the link that has the address.
    HostElsewhere = 10, "host_elsewhere";
    /// The child's own settings forbid answers for the address (`arp_ignore`, `arp off`).
    Silent = 11, "silent";
    /// The frame could not be written to or resized, and was passed on as it was: the kernel did not let the program
    /// (no memory), or it can be of several buffers, which XDP leaves to TC.
    NotWritable = 12, "not_writable";
    /// The `EtherType` in the frame is not the protocol that its sender named.
    EtherType = 13, "ether_type";

    /// Nobody here holds the destination or target address.
    NotOurs = 16, "not_ours";
    /// An ARP message other than a request.
    NotRequest = 17, "not_request";
    /// Too short, or an IP header that the kernel would not accept either.
    Malformed = 18, "malformed";
    /// Carries an 802.1Q tag: it belongs to a VLAN device.
    Tagged = 19, "tagged";
    /// Addressed to a MAC that is neither broadcast nor the parent's.
    OtherMac = 20, "other_mac";
    /// A probe (ARP from 0.0.0.0, solicitation from ::) whose answer is not ours to give.
    Probe = 21, "probe";
    /// A child asks for or sends to a sibling: left to the driver or the wire.
    Sibling = 22, "sibling";
    /// The kernel answers: `--l2-broadcast flood`, or an l2 child in the host's own netns.
    LeftToKernel = 23, "left_to_kernel";
    /// The maps are not filled yet, or are being changed.
    NotReady = 24, "not_ready";
    /// The driver delivers it.
    LeftToDriver = 25, "left_to_driver";
    /// A neighbour advertisement.
    Advertisement = 26, "advertisement";
    /// A solicitation behind an extension header or in a fragment (RFC 6980).
    ExtensionHeader = 27, "extension_header";
    /// A solicitation sent neither to its target nor to the target's solicited-node group.
    OtherDestination = 28, "other_destination";
    /// A solicitation with more options than the programs read.
    TooLong = 29, "too_long";
    /// Not the reason of a frame: an event about one that was not told, since there were too many.
    EventSuppressed = 30, "event_suppressed";
    /// No agent has been alive for longer than `--stale-after`: nothing is answered.
    Stale = 31, "stale";

    /// The target is an address of the host: the host's stack answers.
    HostAddress = 32, "host_address";
    /// The target is the address of a next hop of the host's routes, and a child took it after the route was
    /// there.
    GatewayAddress = 33, "gateway_address";
    /// The child that holds the target is down.
    ChildDown = 34, "child_down";
    /// The target is a multicast address.
    TargetMulticast = 35, "target_multicast";
    /// The target is a broadcast address.
    TargetBroadcast = 36, "target_broadcast";
    /// The target is a loopback address.
    TargetLoopback = 37, "target_loopback";
    /// The target is an unspecified address (0.0.0.0/8, ::).
    TargetUnspecified = 38, "target_unspecified";
    /// The target is a link-local IPv4 address (`--answer-link-local` is off).
    TargetLinkLocal = 39, "target_link_local";
    /// The sender has the parent's own MAC.
    OwnSender = 40, "own_sender";
    /// The MAC of the sender is zero or multicast.
    SenderMac = 41, "sender_mac";
    /// The sender's address is multicast, broadcast, loopback, IPv4-mapped or in 0.0.0.0/8.
    SenderAddress = 42, "sender_address";
    /// Sender and target address are the same: an announcement.
    Gratuitous = 43, "gratuitous";
    /// The sender claims an address of the host or of a child with a MAC that is not the parent's.
    SenderConflict = 44, "sender_conflict";
    /// A point-to-point address: the driver delivers the peer's address, not this one.
    PeerAddress = 45, "peer_address";
    /// The parent is down.
    ParentDown = 46, "parent_down";
    /// The netns of the child that holds the target has more addresses than its quota.
    OverQuota = 47, "over_quota";
    /// The target is outside `--allow`.
    NotAllowed = 48, "not_allowed";
    /// The target is in `--deny`.
    Denied = 49, "denied";
    /// The child may not use the target yet: its duplicate address detection is running.
    Tentative = 50, "tentative";
    /// The child's duplicate address detection found the target in use.
    DadFailed = 51, "dad_failed";
    /// The target is being probed for on the LAN (`--dad strict`), or is a control address, which no station
    /// should have.
    Probing = 52, "probing";
    /// A station on the LAN has the target.
    Duplicate = 53, "duplicate";
    /// An ARP message of another hardware or protocol type, or with other lengths of addresses.
    ArpHeader = 54, "arp_header";
    /// The hop limit of a solicitation is not 255: it was forwarded.
    HopLimit = 55, "hop_limit";
    /// The code of a solicitation is not 0.
    Code = 56, "code";
    /// The checksum of a solicitation is wrong.
    Checksum = 57, "checksum";
    /// An option of a solicitation has length 0, does not fit, or is no Ethernet address.
    BadOption = 58, "bad_option";
    /// A solicitation from :: with a source link-layer address (RFC 4861 §7.1.1).
    DadLinkLayer = 59, "dad_link_layer";
    /// A solicitation from :: not sent to a solicited-node group (RFC 4861 §7.1.1).
    DadDestination = 60, "dad_destination";
    /// The target is an IPv4-mapped address.
    TargetV4Mapped = 61, "target_v4_mapped";
    /// Isolation is set, and the sender is neither the host nor behind another interface of the host.
    Isolated = 62, "isolated";
    /// The parent itself received the packet: hairpinned, it would loop.
    ReceivedHere = 63, "received_here";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ascending_and_survive_a_round_trip() {
        assert!(
            REASONS
                .windows(2)
                .all(|pair| (pair[0] as u32) < pair[1] as u32)
        );
        for &reason in REASONS {
            let number = u8::try_from(reason as u32).unwrap();
            assert_eq!(Reason::from_number(number), reason);
        }
        let known = |number: &u8| {
            REASONS
                .iter()
                .any(|&reason| reason as u32 == u32::from(*number))
        };
        for number in (0..=u8::MAX).filter(|number| !known(number)) {
            assert_eq!(Reason::from_number(number), Reason::Unknown, "{number}");
        }
    }

    #[test]
    fn words_are_unique_snake_case() {
        for (index, reason) in REASONS.iter().enumerate() {
            let word = reason.word();
            assert!(
                word.bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            );
            assert!(
                REASONS[index + 1..]
                    .iter()
                    .all(|other| other.word() != word)
            );
        }
    }
}
