//! What nearly every row uses.

pub(crate) use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

pub(crate) use anyhow::{Context as _, Result, ensure};

pub(crate) use super::{
    checks::{STEADY_ADDRESSES, answered_on_lan, becomes},
    row::{
        Kind::{self, Container, Service, Station, User},
        L2, L2_L3, L3, L3_L3S, Play, Row, Run,
    },
    scene::{ANSWERED_WITHIN, PATIENCE, SILENCE, Scene, beside, pin_dir, runtime_dir, wait_for},
    site::{
        self, CHILD, DOWN, GATEWAY, HOST, LAN, MAC, NEIGHBOUR, PARENT, PORT, Pair, STEADY, Site,
        THIRD, UNNAMED, UNOWNED, VM01,
    },
};
pub(crate) use crate::{
    demo::mode::Mode,
    family::{Family, default_routes},
    lab::connect,
    netns::{Netns, colons},
    probe::{
        claim, neighbour,
        packet::{EVERY_TYPE, PacketSocket},
        ping::ping,
        until,
    },
};
