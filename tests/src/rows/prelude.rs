//! What nearly every row uses.

pub(crate) use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

pub(crate) use anyhow::{Context as _, Result, ensure};

pub(crate) use super::{
    row::{Kind, L2, L2_L3, L3, L3_L3S, Play, Row, Run},
    scene::{ANSWERED_WITHIN, PATIENCE, SILENCE, Scene, beside, wait_for},
    site::{
        self, CHILD, GATEWAY, HOST, LAN, MAC, NEIGHBOUR, PARENT, Pair, STEADY, Site, THIRD,
        UNNAMED, UNOWNED, VM01,
    },
};
pub(crate) use crate::{
    demo::mode::Mode,
    family::Family,
    netns::{Netns, colons},
    probe::{
        claim, neighbour,
        packet::{EVERY_TYPE, PacketSocket},
        ping::ping,
    },
};
