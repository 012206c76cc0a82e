//! What rows require of a node again and again: who is answered, reached and refused.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    scene::{PATIENCE, SILENCE, Scene},
    site::{LAN, MAC, Pair, STEADY, Site, UNNAMED, VM01},
};
use crate::{
    netns::Netns,
    probe::{neighbour, ping::ping},
};

/// The number of addresses that [`Scene::steady_answered`] asks for.
pub(crate) const STEADY_ADDRESSES: usize = 4;

impl Scene {
    /// Requires that each of `addresses` comes to be answered on the LAN by the parent's MAC.
    pub(crate) fn expect_answered(
        &self,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<()> {
        self.expect_answers(addresses, true)
    }

    /// Requires that each of `addresses` comes to be answered on the LAN by the parent's MAC, or not.
    pub(crate) fn expect_answers(
        &self,
        addresses: impl IntoIterator<Item = IpAddr>,
        answered: bool,
    ) -> Result<()> {
        self.expect_answers_within(addresses, answered, PATIENCE)
    }

    /// The same within `patience`.
    pub(crate) fn expect_answers_within(
        &self,
        addresses: impl IntoIterator<Item = IpAddr>,
        answered: bool,
        patience: Duration,
    ) -> Result<()> {
        for address in addresses {
            let settled = becomes(&self.site, address, answered, patience)?;
            let what = format!("{address} is answered on the LAN");
            self.expect_eq(&what, settled == answered, answered);
        }
        Ok(())
    }

    /// Requires that both addresses of the two children without an attacker are answered on the LAN at once.
    pub(crate) fn expect_others_answered(&self) -> Result<()> {
        let answered = self.steady_answered()?;
        self.expect_eq(
            "addresses of others that are answered",
            answered,
            STEADY_ADDRESSES,
        );
        Ok(())
    }

    /// Requires that each of `addresses` answers a ping from `netns`.
    pub(crate) fn expect_reached(
        &self,
        netns: &Netns,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<()> {
        self.expect_reached_within(netns, addresses, PATIENCE)
    }

    /// The same within `patience`.
    pub(crate) fn expect_reached_within(
        &self,
        netns: &Netns,
        addresses: impl IntoIterator<Item = IpAddr>,
        patience: Duration,
    ) -> Result<()> {
        for address in addresses {
            let reached = netns.run(|| ping(None, address, patience))?;
            let what = format!("{} reaches {address}", netns.label());
            self.expect_eq(&what, reached, true);
        }
        Ok(())
    }

    /// Requires that the status has each of `addresses` as refused for `reason`.
    pub(crate) fn expect_refused(
        &self,
        addresses: impl IntoIterator<Item = IpAddr>,
        reason: &str,
    ) -> Result<()> {
        for address in addresses {
            let refused = self.refusals(&[address])?;
            self.expect(refused.contains(&(address, reason.to_owned())), || {
                format!("{address} is not refused as {reason}: {refused:?}")
            });
        }
        Ok(())
    }

    /// Returns which of `addresses` the status has as refused, and why.
    pub(crate) fn refusals(&self, addresses: &[IpAddr]) -> Result<BTreeSet<(IpAddr, String)>> {
        Ok(self.parent()?.refusals(addresses))
    }

    /// Returns how many of the addresses of the two children without an attacker are answered on the LAN.
    pub(crate) fn steady_answered(&self) -> Result<usize> {
        let mut answered = 0;
        for address in [STEADY, UNNAMED].into_iter().flat_map(Pair::both) {
            answered += usize::from(answered_on_lan(&self.site, address)?.is_some());
        }
        Ok(answered)
    }
}

/// Returns the MAC that answers vm01's broadcast or multicast question for `address`, if one does.
pub(crate) fn answered_on_lan(site: &Site, address: IpAddr) -> Result<Option<[u8; 6]>> {
    neighbour::who_has(&site.vm01, LAN, VM01.like(address), address, SILENCE)
}

/// Waits until an address is answered on the LAN by the parent's MAC, or is not; returns whether it came
/// to that within `patience`.
pub(crate) fn becomes(
    site: &Site,
    address: IpAddr,
    answered: bool,
    patience: Duration,
) -> Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        if (answered_on_lan(site, address)? == Some(MAC)) == answered {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the number of packets of each family that `netns` has forwarded.
pub(crate) fn forwarded(netns: &Netns) -> Result<[u64; 2]> {
    let read = |file| fs::read_to_string(format!("/proc/thread-self/net/{file}"));
    let (v4, v6) = netns.run(|| Ok((read("snmp")?, read("snmp6")?)))?;
    // Names of all counters of a group in one row, values in the next.
    let mut rows = v4.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = rows.next().zip(rows.next()).context("no IPv4 counters")?;
    let mut counters = names.split(' ').zip(values.split(' '));
    let of_v4 = counters.find(|(name, _)| *name == "ForwDatagrams");
    let mut rows = v6.lines().map(str::split_whitespace);
    let of_v6 =
        rows.find_map(|mut row| (row.next()? == "Ip6OutForwDatagrams").then(|| row.next())?);
    let (v4, v6) = of_v4
        .zip(of_v6)
        .context("no counters of forwarded packets")?;
    Ok([v4.1.parse()?, v6.parse()?])
}
