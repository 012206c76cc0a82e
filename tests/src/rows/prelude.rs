//! What nearly every row uses.

pub(crate) use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

pub(crate) use anyhow::{Context as _, Result, ensure};

pub(crate) use super::{
    row::{Kind, L2, L2_L3, L3, L3_L3S, Play, Row, Run},
    scene::{self, ANSWERED_WITHIN, SILENCE, Scene, beside},
};
pub(crate) use crate::{
    demo::mode::Mode,
    family::Family,
    faults::{
        site::{
            CHILD, GATEWAY, HOST, LAN, MAC, NEIGHBOUR, PARENT, Pair, STEADY, Site, THIRD, UNNAMED,
            UNOWNED, VM01,
        },
        stage::{PATIENCE, wait_for},
    },
    netns::{Netns, colons},
    probe::{
        claim, neighbour,
        packet::{EVERY_TYPE, PacketSocket},
        ping::ping,
    },
};
