//! Control addresses: probes for addresses without an owner, which distinguish an owner from a station that answers
//! for every address.
//!
//! The fabric of Azure, a router with local proxy ARP and others answer each probe, whatever its target. A
//! claim by such a MAC is no evidence that the address has an owner. Before an address is withdrawn, two random
//! addresses of the same prefix are probed for; a MAC that answers for both of them answers for everything.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use crate::{
    lan::{frame::Mac, random::Random},
    model::Prefix,
};

/// How long an answer to the last probe of a round is waited for.
pub const CONTROL_WAIT: Duration = Duration::from_millis(400);
/// How long it is remembered that a MAC answers for every address.
pub const REMEMBER: Duration = Duration::from_mins(10);
/// How long it is remembered that a MAC does not: one station can own many addresses.
pub const REMEMBER_OWNER: Duration = Duration::from_secs(5);

/// How many control addresses a prefix has.
pub const CONTROLS: usize = 2;
/// How many prefixes keep their control addresses for the next time.
const PREFIXES: usize = 64;
/// How many prefixes are examined at a time.
const ROUNDS: usize = 64;
/// How many MACs are remembered of each kind.
const MACS: usize = 256;
/// How often a free address is looked for in a prefix.
const TRIES: usize = 32;
/// Length of the prefix where the host knows none on the link, and none that is longer than
/// [`LONGEST_V4`].
const DEFAULT_V4: u8 = 24;
/// Longest IPv4 prefix with room for control addresses.
const LONGEST_V4: u8 = 29;
/// The same of IPv6: the prefix of every LAN.
const DEFAULT_V6: u8 = 64;

/// What is known of the LAN where a control address is chosen.
pub struct Neighbourhood<'a> {
    /// The prefixes that are on-link for the host.
    pub on_link: &'a [Prefix],
    /// Returns whether a child, the host or a gateway owns an address.
    pub is_owned: &'a dyn Fn(IpAddr) -> bool,
}

/// What is known of a MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Station {
    /// It answers for every address.
    AnswersForAll,
    /// It does not, or did not when it was last examined.
    Owner,
    /// It was not examined lately.
    Unknown,
}

/// The results of the rounds that are due.
#[derive(Debug, Default)]
pub struct Ended {
    /// The addresses with claims whose examination has ended.
    pub addresses: BTreeSet<IpAddr>,
    /// Control addresses to be probed for once more, each with an address that it is for.
    pub again: Vec<(IpAddr, IpAddr)>,
    /// MACs that were found to answer for every address.
    pub found: Vec<Mac>,
}

/// The control addresses of one parent.
#[derive(Debug, Default)]
pub struct Controls {
    /// The control addresses of prefixes; those used last are at the back.
    chosen: VecDeque<(Prefix, [IpAddr; CONTROLS])>,
    rounds: BTreeMap<Prefix, Round>,
    /// MACs that answer for every address, and until when that is remembered.
    all: BTreeMap<Mac, Instant>,
    /// MACs that do not.
    owners: BTreeMap<Mac, Instant>,
    /// Addresses whose map entry is to be written or removed.
    changed: BTreeSet<IpAddr>,
}

#[derive(Debug)]
struct Round {
    controls: [IpAddr; CONTROLS],
    /// How many probes were sent.
    sent: usize,
    /// When it ends; none before the last probe was sent.
    until: Option<Instant>,
    /// The second time.
    again: bool,
    /// Which of the controls each MAC answered for, as bits.
    answers: BTreeMap<Mac, u8>,
    /// The addresses with claims.
    addresses: BTreeSet<IpAddr>,
    /// The MACs that claim them.
    claimants: BTreeSet<Mac>,
}

impl Controls {
    /// Returns what is known of a MAC.
    #[must_use]
    pub fn station(&self, now: Instant, mac: Mac) -> Station {
        let knows = |of: &BTreeMap<Mac, Instant>| of.get(&mac).is_some_and(|&until| until > now);
        if knows(&self.all) {
            Station::AnswersForAll
        } else if knows(&self.owners) {
            Station::Owner
        } else {
            Station::Unknown
        }
    }

    /// Examines a MAC that claims an address. Returns the probes to be sent for the first claim in a prefix;
    /// `None` if it cannot be examined, since there is no free address or too much is examined already.
    pub fn examine(
        &mut self,
        address: IpAddr,
        mac: Mac,
        random: &mut Random,
        around: &Neighbourhood<'_>,
    ) -> Option<Vec<IpAddr>> {
        let prefix = prefix_of(address, around.on_link);
        if let Some(round) = self.rounds.get_mut(&prefix) {
            round.addresses.insert(address);
            if round.claimants.len() < MACS {
                round.claimants.insert(mac);
            }
            return Some(Vec::new());
        }
        if self.rounds.len() >= ROUNDS {
            return None;
        }
        let controls = self.choose(prefix, random, around)?;
        self.rounds.insert(
            prefix,
            Round {
                controls,
                sent: 0,
                until: None,
                again: false,
                answers: BTreeMap::new(),
                addresses: BTreeSet::from([address]),
                claimants: BTreeSet::from([mac]),
            },
        );
        self.changed.extend(controls);
        Some(controls.to_vec())
    }

    /// Gives up the claims of an address that is gone.
    pub fn remove(&mut self, address: IpAddr) {
        for round in self.rounds.values_mut() {
            round.addresses.remove(&address);
        }
    }

    /// The probe for a control address was sent. Without a round for it nothing happens.
    pub fn sent(&mut self, now: Instant, control: IpAddr) {
        let round = self
            .rounds
            .values_mut()
            .find(|round| round.controls.contains(&control));
        if let Some(round) = round {
            round.sent += 1;
            if round.sent == CONTROLS {
                round.until = Some(now + CONTROL_WAIT);
            }
        }
    }

    /// Returns whether an address is one that is being probed for as a control address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.addresses().any(|of| of == address)
    }

    /// Returns the control addresses that are being probed for: answers to them are to be reported.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.rounds.values().flat_map(|round| round.controls)
    }

    /// A station claims a control address, or probes for it. Where it is no station that answers for
    /// everything, the next round takes another address.
    pub fn answer(&mut self, control: IpAddr, mac: Mac) {
        for round in self.rounds.values_mut() {
            let index = round.controls.iter().position(|&of| of == control);
            if let Some(index) = index
                && (round.answers.len() < MACS || round.claimants.contains(&mac))
            {
                *round.answers.entry(mac).or_default() |= 1 << index;
            }
        }
    }

    /// Returns when [`Self::due`] is to be called.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.rounds.values().filter_map(|round| round.until).min()
    }

    /// Ends the rounds that are due.
    pub fn due(&mut self, now: Instant) -> Ended {
        let mut ended = Ended::default();
        let due: Vec<Prefix> = self
            .rounds
            .iter()
            .filter(|(_, round)| round.until.is_some_and(|until| until <= now))
            .map(|(&prefix, _)| prefix)
            .collect();
        for prefix in due {
            let Some(mut round) = self.rounds.remove(&prefix) else {
                continue;
            };
            if round.is_doubtful()
                && let Some(&address) = round.addresses.first()
            {
                round.again = true;
                round.sent = 0;
                round.until = None;
                ended
                    .again
                    .extend(round.controls.map(|control| (control, address)));
                self.rounds.insert(prefix, round);
                continue;
            }
            self.changed.extend(round.controls);
            for &mac in &round.claimants {
                if round.answers.get(&mac) == Some(&ALL) {
                    if self.station(now, mac) != Station::AnswersForAll {
                        ended.found.push(mac);
                    }
                    remember(&mut self.all, now, mac, REMEMBER);
                } else {
                    remember(&mut self.owners, now, mac, REMEMBER_OWNER);
                }
            }
            // A station has one of them: the next round takes others.
            if round.answers.values().any(|&bits| bits != ALL) {
                self.chosen.retain(|(of, _)| *of != prefix);
            }
            ended.addresses.extend(round.addresses);
        }
        ended
    }

    /// Returns the addresses whose map entry is to be written or removed, once.
    pub fn take_changed(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.changed)
    }

    /// Whether [`Self::take_changed`] returns any.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Ends all rounds without a result.
    pub fn clear(&mut self) {
        for round in std::mem::take(&mut self.rounds).into_values() {
            self.changed.extend(round.controls);
        }
    }

    /// Returns the control addresses of a prefix: those of before, unless one is owned by now.
    fn choose(
        &mut self,
        prefix: Prefix,
        random: &mut Random,
        around: &Neighbourhood<'_>,
    ) -> Option<[IpAddr; CONTROLS]> {
        let known = self
            .chosen
            .iter()
            .position(|(of, _)| *of == prefix)
            .and_then(|index| self.chosen.remove(index))
            .map(|(_, controls)| controls)
            .filter(|controls| !controls.iter().any(|&control| (around.is_owned)(control)));
        let controls = known.or_else(|| free_addresses(prefix, random, around))?;
        if self.chosen.len() == PREFIXES {
            self.chosen.pop_front();
        }
        self.chosen.push_back((prefix, controls));
        Some(controls)
    }
}

/// Returns unowned addresses of a prefix; none if there are not enough.
fn free_addresses(
    prefix: Prefix,
    random: &mut Random,
    around: &Neighbourhood<'_>,
) -> Option<[IpAddr; CONTROLS]> {
    let mut free = BTreeSet::new();
    for _ in 0..TRIES {
        let address = random_in(prefix, random);
        if is_of_host(prefix, address) && !(around.is_owned)(address) {
            free.insert(address);
        }
        if free.len() == CONTROLS {
            break;
        }
    }
    let free: Vec<IpAddr> = free.into_iter().collect();
    free.try_into().ok()
}

/// Every control address, as bits.
const ALL: u8 = (1 << CONTROLS) - 1;

impl Round {
    /// Whether a claimant answered for some of the controls and not for others: an answer may be lost.
    fn is_doubtful(&self) -> bool {
        let mut claimants = self.claimants.iter();
        !self.again
            && claimants.any(|mac| {
                let bits = self.answers.get(mac).copied().unwrap_or_default();
                bits != 0 && bits != ALL
            })
    }
}

/// Remembers a MAC for some time; of too many the one that is forgotten first goes.
fn remember(macs: &mut BTreeMap<Mac, Instant>, now: Instant, mac: Mac, time: Duration) {
    if macs.len() >= MACS && !macs.contains_key(&mac) {
        let first = macs.iter().min_by_key(|&(_, until)| *until);
        if let Some(first) = first.map(|(&mac, _)| mac) {
            macs.remove(&first);
        }
    }
    macs.insert(mac, now + time);
}

/// The prefix that control addresses for this one are taken from: the longest one on the link that has room.
fn prefix_of(address: IpAddr, on_link: &[Prefix]) -> Prefix {
    let (default, longest) = match address {
        IpAddr::V4(_) => (DEFAULT_V4, LONGEST_V4),
        IpAddr::V6(_) => (DEFAULT_V6, DEFAULT_V6),
    };
    on_link
        .iter()
        .filter(|prefix| prefix.contains(address) && prefix.len() > 0 && prefix.len() <= longest)
        .max_by_key(|prefix| prefix.len())
        .copied()
        .unwrap_or_else(|| Prefix::of(address, default))
}

/// An address of a prefix.
fn random_in(prefix: Prefix, random: &mut Random) -> IpAddr {
    let (first, len) = (prefix.first(), u32::from(prefix.len()));
    match first {
        IpAddr::V4(first) => {
            let behind = u32::MAX.checked_shr(len).unwrap_or(0);
            Ipv4Addr::from_bits(first.to_bits() | random.bits_32() & behind).into()
        }
        IpAddr::V6(first) => {
            let behind = u128::MAX.checked_shr(len).unwrap_or(0);
            Ipv6Addr::from_bits(first.to_bits() | random.bits_128() & behind).into()
        }
    }
}

/// Whether a station can have an address of this prefix: not its first, which is that of the network (of
/// routers in IPv6), nor its last, the broadcast address of IPv4.
fn is_of_host(prefix: Prefix, address: IpAddr) -> bool {
    let last = match (prefix.first(), u32::from(prefix.len())) {
        (IpAddr::V4(first), len) => {
            let behind = u32::MAX.checked_shr(len).unwrap_or(0);
            Some(IpAddr::from(Ipv4Addr::from_bits(first.to_bits() | behind)))
        }
        (IpAddr::V6(_), _) => None,
    };
    address != prefix.first() && Some(address) != last
}

#[cfg(test)]
mod tests;
