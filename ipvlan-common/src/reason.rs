//! Why a program did what it did with a frame.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $word:literal, $class:ident;)+) => {
        /// Why a program did what it did with a frame it looked at. Counted per hook.
        ///
        /// Numbers are never reused, fit into a byte, and words are part of the `--json` output. The class
        /// decides what becomes of the frame. The
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

            /// Returns what becomes of a frame with this reason.
            #[must_use]
            pub const fn class(self) -> ReasonClass {
                match self {
                    $(Self::$name => ReasonClass::$class,)+
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

        impl ReasonClass {
            /// Returns [`Reason::class`] of the reason with this number.
            #[must_use]
            #[inline(always)]
            #[allow(clippy::inline_always, reason = "the programs match the number itself, in a few instructions")]
            pub const fn of_number(number: u8) -> Self {
                match number {
                    $($number => Self::$class,)+
                    _ => Reason::Unknown.class(),
                }
            }
        }
    };
}

/// What becomes of a frame, as far as it depends on the [`Reason`] alone: the verdict, and which counter of the child
/// that it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasonClass {
    /// The frame is a reply now and goes back where the request came from.
    Answered,
    /// The frame goes to the ingress of the parent.
    Hairpinned,
    /// The frame goes to the ingress of the child.
    Redirected,
    /// The frame is dropped.
    Dropped,
    /// The frame is passed on to the part of the kernel or of the LAN that serves the child.
    Delegated,
    /// The frame is passed on. If it concerns a child, the child is refused what the frame asks for or brings.
    Passed,
}

reasons! {
    /// A number that this build does not know.
    Unknown = 0, "unknown", Passed;

    /// Answered an ARP request.
    ArpAnswered = 1, "arp_answered", Answered;
    /// Turned a packet around from the parent's egress to its ingress.
    Hairpinned = 2, "hairpinned", Hairpinned;
    /// Redirected a packet to a child in the parent's netns.
    Redirected = 3, "redirected", Redirected;
    /// Dropped a request for neither host nor child before the driver clones it to every l2 child.
    ForeignDropped = 4, "foreign_dropped", Dropped;
    /// Answered a neighbour solicitation.
    NdAnswered = 5, "nd_answered", Answered;
    /// Not the reason of a frame: an event about an address that the agent is probing for exceeded the
    /// rate of such events.
    ProbedEventSuppressed = 6, "probed_event_suppressed", Passed;
    /// The child's address is off-link for the host, and the operator did not allow its prefix.
    OffLink = 7, "off_link", Passed;
    /// Set the broadcast flag of an l2 child's DHCP request, so that the reply is a broadcast.
    DhcpBroadcast = 8, "dhcp_broadcast", Passed;
    /// An l2 child's DHCP request that identifies its client only by the MAC, which all children share. Its
    /// broadcast flag is set as well.
    DhcpNoClientId = 9, "dhcp_no_client_id", Passed;
    /// The target is an address of the host for which its kernel would not answer the child on the parent:
    /// left to the link that has the address.
    HostElsewhere = 10, "host_elsewhere", Passed;
    /// The child's own settings forbid answers for the address (`arp_ignore`, `arp off`).
    Silent = 11, "silent", Passed;
    /// The frame could not be written to or resized, and was passed on as it was: the kernel did not let the program
    /// (no memory), or it can be of several buffers, which XDP leaves to TC.
    NotWritable = 12, "not_writable", Passed;
    /// The `EtherType` in the frame is not the protocol that its sender named.
    EtherType = 13, "ether_type", Passed;

    /// Nobody here holds the destination or target address.
    NotOurs = 16, "not_ours", Passed;
    /// An ARP message other than a request.
    NotRequest = 17, "not_request", Passed;
    /// Too short, or an IP header that the kernel would not accept either.
    Malformed = 18, "malformed", Passed;
    /// Carries an 802.1Q tag: it belongs to a VLAN device.
    Tagged = 19, "tagged", Passed;
    /// Addressed to a MAC that is neither broadcast nor the parent's.
    OtherMac = 20, "other_mac", Passed;
    /// A probe (ARP from 0.0.0.0, solicitation from ::) whose answer is not ours to give.
    Probe = 21, "probe", Passed;
    /// A child asks for or sends to a sibling: left to the driver or the wire.
    Sibling = 22, "sibling", Delegated;
    /// The kernel answers: `--l2-broadcast flood`, or an l2 child in the host's own netns.
    LeftToKernel = 23, "left_to_kernel", Delegated;
    /// The maps are not filled yet, or are being changed.
    NotReady = 24, "not_ready", Passed;
    /// The driver delivers it.
    LeftToDriver = 25, "left_to_driver", Delegated;
    /// A neighbour advertisement.
    Advertisement = 26, "advertisement", Passed;
    /// A solicitation behind an extension header or in a fragment (RFC 6980).
    ExtensionHeader = 27, "extension_header", Passed;
    /// A solicitation sent neither to its target nor to the target's solicited-node group.
    OtherDestination = 28, "other_destination", Passed;
    /// A solicitation with more options than the programs read.
    TooLong = 29, "too_long", Passed;
    /// Not the reason of a frame: an event about one that was not told, since there were too many.
    EventSuppressed = 30, "event_suppressed", Passed;
    /// No agent has been alive for longer than `--stale-after`: nothing is answered.
    Stale = 31, "stale", Passed;

    /// The target is an address of the host: the host's stack answers.
    HostAddress = 32, "host_address", Passed;
    /// The target is the address of a next hop of the host's routes, and a child took it after the route was
    /// there.
    GatewayAddress = 33, "gateway_address", Passed;
    /// The child that holds the target is down.
    ChildDown = 34, "child_down", Passed;
    /// The target is a multicast address.
    TargetMulticast = 35, "target_multicast", Passed;
    /// The target is a broadcast address.
    TargetBroadcast = 36, "target_broadcast", Passed;
    /// The target is a loopback address.
    TargetLoopback = 37, "target_loopback", Passed;
    /// The target is an unspecified address (0.0.0.0/8, ::).
    TargetUnspecified = 38, "target_unspecified", Passed;
    /// The target is a link-local IPv4 address (`--answer-link-local` is off).
    TargetLinkLocal = 39, "target_link_local", Passed;
    /// The sender has the parent's own MAC.
    OwnSender = 40, "own_sender", Passed;
    /// The MAC of the sender is zero or multicast.
    SenderMac = 41, "sender_mac", Passed;
    /// The sender's address is multicast, broadcast, loopback, IPv4-mapped or in 0.0.0.0/8.
    SenderAddress = 42, "sender_address", Passed;
    /// Sender and target address are the same: an announcement.
    Gratuitous = 43, "gratuitous", Passed;
    /// The sender claims an address of the host or of a child with a MAC that is not the parent's.
    SenderConflict = 44, "sender_conflict", Passed;
    /// A point-to-point address: the driver delivers the peer's address, not this one.
    PeerAddress = 45, "peer_address", Passed;
    /// The parent is down.
    ParentDown = 46, "parent_down", Passed;
    /// The netns of the child that holds the target has more addresses than its quota.
    OverQuota = 47, "over_quota", Passed;
    /// The target is outside `--allow`.
    NotAllowed = 48, "not_allowed", Passed;
    /// The target is in `--deny`.
    Denied = 49, "denied", Passed;
    /// The child may not use the target yet: its duplicate address detection is running.
    Tentative = 50, "tentative", Passed;
    /// The child's duplicate address detection found the target in use.
    DadFailed = 51, "dad_failed", Passed;
    /// The target is being probed for on the LAN (`--dad strict`), or is a control address, which no station
    /// should have.
    Probing = 52, "probing", Passed;
    /// A station on the LAN has the target.
    Duplicate = 53, "duplicate", Passed;
    /// An ARP message of another hardware or protocol type, or with other lengths of addresses.
    ArpHeader = 54, "arp_header", Passed;
    /// The hop limit of a solicitation is not 255: it was forwarded.
    HopLimit = 55, "hop_limit", Passed;
    /// The code of a solicitation is not 0.
    Code = 56, "code", Passed;
    /// The checksum of a solicitation is wrong.
    Checksum = 57, "checksum", Passed;
    /// An option of a solicitation has length 0, does not fit, or is no Ethernet address.
    BadOption = 58, "bad_option", Passed;
    /// A solicitation from :: with a source link-layer address (RFC 4861 §7.1.1).
    DadLinkLayer = 59, "dad_link_layer", Passed;
    /// A solicitation from :: not sent to a solicited-node group (RFC 4861 §7.1.1).
    DadDestination = 60, "dad_destination", Passed;
    /// The target is an IPv4-mapped address.
    TargetV4Mapped = 61, "target_v4_mapped", Passed;
    /// Isolation is set, and the sender is neither the host nor behind another interface of the host.
    Isolated = 62, "isolated", Passed;
    /// The parent itself received the packet: hairpinned, it would loop.
    ReceivedHere = 63, "received_here", Passed;
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
