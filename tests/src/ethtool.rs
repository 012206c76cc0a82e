//! Switches features of an interface, as `ethtool -K` does.

/// Of the agent, which the lab does not depend on: that would put the eBPF object into it.
#[path = "../../ipvlan-user/src/attach/ethtool.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared with the agent, which uses all of it"
)]
mod features;

use self::features::{Features, exchange};
use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;

/// What takes VLAN tags out of received frames, and leaves them out of sent ones.
pub const VLAN_OFFLOAD: [&str; 4] = [
    "rx-vlan-hw-parse",
    "rx-vlan-stag-hw-parse",
    "tx-vlan-hw-insert",
    "tx-vlan-stag-hw-insert",
];

/// `ETHTOOL_SFEATURES`
const SET_FEATURES: u32 = 0x3b;

/// Returns whether a feature of `device` is active.
pub fn has(device: &str, name: &str) -> Result<bool> {
    let ifindex = if_nametoindex(device).with_context(|| format!("no interface {device} here"))?;
    let features =
        Features::read(ifindex).with_context(|| format!("cannot read the features of {device}"))?;
    Ok(features.has(name))
}

/// Switches those features that the kernel knows.
pub fn switch(device: &str, names: &[&str], on: bool) -> Result<()> {
    let what = || format!("cannot switch {names:?} of {device}");
    let ifindex = if_nametoindex(device).with_context(what)?;
    let features = Features::read(ifindex).with_context(what)?;
    // Two words for each block: which features are meant, and which of them are to be on.
    let mut request = vec![0; 2 + 2 * features.blocks()];
    request[0] = SET_FEATURES;
    request[1] = u32::try_from(features.blocks())?;
    for (block, bit) in names.iter().filter_map(|name| features.place(name)) {
        request[2 + 2 * block] |= bit;
        if on {
            request[3 + 2 * block] |= bit;
        }
    }
    exchange(ifindex, &mut request).with_context(what)
}
