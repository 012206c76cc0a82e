//! What nearly every table of frames uses.

pub use std::net::{IpAddr, Ipv4Addr};

pub use ipvlan_common::{
    AddressEntry, Config, ConfigFlags, Delivery, Event, EventKind, Hook, Owner, Reason,
};

pub use crate::{
    datapath::{
        Act, DEMUX, Datapath, EGRESS, NOT_DEMUX, NOT_ROUTED, ONE_BUFFER, Origin, Program, ROUTED,
        TC_INGRESS, WIRE, XDP,
    },
    frames::{
        Arp, Dhcp, ETH_LEN, IpPacket, Nd, arp, corpus,
        ip::{self, number, v4, v6},
        ndp::{self, NONCE, SOURCE_MAC, TARGET_MAC, checksummed, option},
        padded, patched, tagged, valid,
    },
    message::{Message, REQUEST, advertisement, answers, own_mac, passes, refused, solicitation},
    rows::{MARK, Row, check, in_modes, row},
    world::*,
};
