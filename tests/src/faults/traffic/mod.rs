//! Traffic while a fault is injected, and what became of it.
//!
//! Packets go from the LAN and from the host to children that no fault is about, and every address is
//! asked about all the time. A row says what it changes; whatever is not explained by that is lost or
//! wrong.

mod asker;
mod echo;
mod source;
mod timeline;

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};

pub(crate) use self::timeline::{Expect, Tally};
use self::{
    asker::{Asker, Topics},
    echo::Echo,
    source::{Log, Sent, Source, run},
    timeline::{Fate, Timeline},
};
use crate::probe::until;
use crate::rows::site::{DOWN, GATEWAY, MAC, Pair, STEADY, Site, THIRD, UNNAMED, UNOWNED};

/// Between two packets of the main stream, of the others, and between two questions.
const FAST: Duration = Duration::from_millis(1);
const SLOW: Duration = Duration::from_millis(6);
const QUESTIONS: Duration = Duration::from_millis(2);
/// Who has not answered by then was not going to.
const LATENCY: Duration = Duration::from_millis(120);
const POLL: Duration = Duration::from_millis(20);
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// Neighbours have to be found first.
const BASELINE_WITHIN: Duration = Duration::from_secs(10);

/// Running traffic; ends when dropped.
#[derive(Debug)]
pub(crate) struct Traffic {
    sources: Vec<(Arc<Log>, JoinHandle<Result<()>>)>,
    stop: Arc<AtomicBool>,
    topics: Arc<Mutex<Topics>>,
    timeline: Timeline,
    healed: Option<Duration>,
}

/// What became of the traffic of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judged {
    /// In all.
    pub(crate) tally: Tally,
    /// Whose traffic was the last to be as it should be.
    pub(crate) last: Option<String>,
    /// What was lost or wrong, for people.
    pub(crate) problems: Vec<String>,
}

/// What comes back for both addresses of `pair`.
pub(crate) fn expected(pair: Pair, expect: Expect) -> [(IpAddr, Expect); 2] {
    pair.both().map(|address| (address, expect))
}

impl Traffic {
    /// Starts it and waits until everything is as it is without a fault. What a row changes may take
    /// `grace` to be true.
    pub(crate) fn start(site: &Site, grace: Duration) -> Result<Self> {
        let answered = [STEADY, UNNAMED, THIRD].map(|pair| (pair, Expect::Answered));
        let silent = [DOWN, UNOWNED, GATEWAY].map(|pair| (pair, Expect::Silent));
        let expected: Vec<_> = answered
            .into_iter()
            .chain(silent)
            .flat_map(|(pair, expect)| expected(pair, expect))
            .collect();
        let topics = Arc::new(Mutex::new(Topics {
            addresses: expected.iter().map(|(address, _)| *address).collect(),
            mac: MAC,
        }));
        let mut traffic = Self {
            sources: Vec::new(),
            stop: Arc::default(),
            topics: Arc::clone(&topics),
            timeline: Timeline::new(expected, MAC, grace),
            healed: None,
        };
        for (netns, address, interval) in [
            (&site.vm01, STEADY.v4.into(), FAST),
            (&site.vm01, UNNAMED.v6.into(), SLOW),
            (&site.host, STEADY.v4.into(), SLOW),
            (&site.host, UNNAMED.v6.into(), SLOW),
        ] {
            let echo = netns.run(|| Echo::open(address, interval))?;
            traffic.add(format!("{} -> {address}", netns.label()), echo);
        }
        let asker = site.vm01.run(|| Asker::open(topics, QUESTIONS))?;
        traffic.add("question".to_owned(), asker);
        ensure!(
            traffic.settle(BASELINE_WITHIN),
            "not as it should be before the fault: {}",
            traffic.unsettled()
        );
        traffic.timeline.restart();
        Ok(traffic)
    }

    fn add(&mut self, name: String, source: impl Source) {
        let log = Arc::new(Log::new(name));
        let (own, stop) = (Arc::clone(&log), Arc::clone(&self.stop));
        let thread = thread::spawn(move || run(source, &own, &stop));
        self.sources.push((log, thread));
    }

    /// Does `change`, after which these addresses are expected to be as said.
    pub(crate) fn change(
        &mut self,
        expected: &[(IpAddr, Expect)],
        change: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.watch(expected.iter().map(|(address, _)| *address));
        let begun = Instant::now();
        change()?;
        self.timeline.add(begun, expected, None);
        Ok(())
    }

    /// From now on these addresses are expected to be as said.
    pub(crate) fn expect(&mut self, expected: &[(IpAddr, Expect)]) {
        self.watch(expected.iter().map(|(address, _)| *address));
        self.timeline.add(Instant::now(), expected, None);
    }

    /// Does `change`, after which the parent has this MAC.
    pub(crate) fn change_mac(
        &mut self,
        mac: [u8; 6],
        change: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        change()?;
        self.topics().mac = mac;
        self.timeline.add(begun, &[], Some(mac));
        Ok(())
    }

    /// Since `begun` nothing was expected of any address; now everything is as at the start.
    pub(crate) fn recovered(&mut self, begun: Instant) {
        let expected = self.timeline.first().to_vec();
        self.timeline.add(begun, &expected, None);
    }

    /// Notes how long something took to heal that is not seen in the traffic.
    pub(crate) fn healed(&mut self, after: Duration) {
        self.healed = self.healed.max(Some(after));
    }

    /// Asks about these addresses, too.
    fn watch(&self, addresses: impl Iterator<Item = IpAddr>) {
        let mut topics = self.topics();
        for address in addresses {
            if !topics.addresses.contains(&address) {
                topics.addresses.push(address);
            }
        }
    }

    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much was sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.sources.iter().map(|(log, _)| log.read().len()).sum()
    }

    /// Waits until so much was sent. A machine that says nothing for long is taken for dead.
    pub(crate) fn wait_sent(&self, packets: usize) -> Result<()> {
        let mut told = Instant::now();
        while self.sent() < packets {
            if told.elapsed() > SIGN_OF_LIFE {
                told = Instant::now();
                println!("{} of {packets} sent", self.sent());
            }
            let ended = self.sources.iter().find(|(_, thread)| thread.is_finished());
            ensure!(ended.is_none(), "a source of traffic has ended");
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until every address was asked about both ways since the last change and for a while
    /// everything was as expected; `false` if that is not so within `patience`.
    pub(crate) fn settle(&self, patience: Duration) -> bool {
        until(patience, POLL, || Ok(self.deviation().is_none())).unwrap_or(false)
    }

    /// Is any question answered at the moment?
    pub(crate) fn answering(&self) -> bool {
        self.recent_questions()
            .iter()
            .any(|sent| sent.answer.is_some())
    }

    /// Is none?
    pub(crate) fn deaf(&self) -> bool {
        let recent = self.recent_questions();
        !recent.is_empty() && recent.iter().all(|sent| sent.answer.is_none())
    }

    fn recent_questions(&self) -> Vec<Sent> {
        let end = Instant::now().checked_sub(LATENCY);
        let begin = end.and_then(|end| end.checked_sub(LATENCY));
        let span = begin.zip(end);
        span.map_or_else(Vec::new, |(begin, end)| self.questions(begin, end))
    }

    fn questions(&self, begin: Instant, end: Instant) -> Vec<Sent> {
        let asked = self.sources.last();
        asked.map_or_else(Vec::new, |(log, _)| within(&log.read(), begin, end))
    }

    /// What is not as expected at the moment.
    pub(crate) fn unsettled(&self) -> String {
        self.deviation()
            .unwrap_or_else(|| "all is well now".to_owned())
    }

    fn deviation(&self) -> Option<String> {
        let topics = self.topics().addresses.clone();
        let round = QUESTIONS * u32::try_from(topics.len() * 2).unwrap_or(u32::MAX);
        let end = Instant::now().checked_sub(LATENCY)?;
        let begin = end.checked_sub(round + round / 2)?;
        if self.timeline.last().is_some_and(|last| last > begin) {
            return Some("there was no time yet".to_owned());
        }
        for (log, thread) in &self.sources {
            let recent = within(&log.read(), begin, end);
            if let Some(sent) = recent
                .iter()
                .find(|sent| matches!(self.timeline.fate(sent), Fate::Lost(_) | Fate::Wrong(_)))
            {
                let fate = self.timeline.fate(sent);
                return Some(format!("{}, {}: {fate:?}", log.name, shown(sent)));
            }
            if recent.is_empty() || thread.is_finished() {
                return Some(format!("{}: nothing is sent", log.name));
            }
        }
        let asked = self.questions(begin, end);
        topics
            .into_iter()
            .flat_map(|address| [(address, true), (address, false)])
            .find(|(address, everybody)| {
                let same = |sent: &Sent| (sent.address, sent.everybody) == (*address, *everybody);
                !asked.iter().any(same)
            })
            .map(|(address, _)| format!("{address} was not asked about yet"))
    }

    /// Ends the traffic and judges it.
    pub(crate) fn end(mut self) -> Result<Judged> {
        self.stop.store(true, Ordering::Relaxed);
        let mut judged = Judged::default();
        judged.tally.healed = self.healed;
        for (log, thread) in std::mem::take(&mut self.sources) {
            thread
                .join()
                .map_err(|_| anyhow!("the source {} panicked", log.name))??;
            let sent = log.read();
            let tally = self.timeline.tally(&sent);
            if tally.lost + tally.wrong > 0 {
                judged.problems.push(format!(
                    "{}: {} lost, {} wrong of {}, first {}",
                    log.name,
                    tally.lost,
                    tally.wrong,
                    tally.sent,
                    self.first_problem(&sent),
                ));
            }
            judged.tally.sent += tally.sent;
            judged.tally.lost += tally.lost;
            judged.tally.wrong += tally.wrong;
            if tally.healed > judged.tally.healed {
                judged.tally.healed = tally.healed;
                judged.last = Some(log.name.clone());
            }
        }
        Ok(judged)
    }

    fn first_problem(&self, log: &[Sent]) -> String {
        let problem = log.iter().find(|sent| {
            let alone = self.timeline.tally(std::slice::from_ref(sent));
            alone.lost + alone.wrong > 0
        });
        problem.map(shown).unwrap_or_default()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for (_, thread) in self.sources.drain(..) {
            // What it found no longer matters.
            let _ended = thread.join();
        }
    }
}

fn within(log: &[Sent], begin: Instant, end: Instant) -> Vec<Sent> {
    let first = log.partition_point(|sent| sent.at < begin);
    let last = log.partition_point(|sent| sent.at < end);
    log[first..last.max(first)].to_vec()
}

fn shown(sent: &Sent) -> String {
    let way = if sent.everybody {
        "to everybody"
    } else {
        "to the MAC"
    };
    let mac = sent.answer.and_then(|answer| answer.mac);
    let mac = mac.map(|mac| format!(", answered by {}", crate::netns::colons(mac)));
    format!("{} {way}{}", sent.address, mac.unwrap_or_default())
}
