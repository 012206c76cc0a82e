//! The promised numbers, measured on real ipvlan devices.

mod answer;
mod flood;
mod floor;
mod idle;
pub(crate) mod process;
mod scale;

use std::path::PathBuf;

use anyhow::Result;

use self::scale::Churned;

use crate::{
    family::Family,
    lab::{Lab, connect},
    netns::Netns,
    results::{Line, Results},
};

const PARENT: &str = "ens34";
/// What to run.
#[derive(Debug)]
pub struct Numbers {
    /// The agent.
    pub ipvlan: PathBuf,
    /// With 65 000 addresses, too.
    pub many: bool,
    /// Nothing but what floods do.
    pub floods: bool,
    /// Where the numbers go.
    pub results: Results,
}

impl Numbers {
    /// Measures everything and tells what is within its limit; `true` if everything is.
    pub fn run(&self) -> Result<bool> {
        let mut good = self.floods || self.scale()?;
        for family in Family::ALL {
            good &= self.flood(family)?;
        }
        Ok(good)
    }

    /// Tells what an agent with many children and addresses does.
    fn scale(&self) -> Result<bool> {
        println!("measuring: a thousand children in a hundred netns");
        let measured = scale::measure(&self.ipvlan, self.many)?;
        for (what, times) in [
            ("an event heard and one netns dumped", &measured.floor),
            (
                "an address asked for that the kernel answers for",
                &measured.asking,
            ),
        ] {
            self.note(&format!(
                "floor of this machine: {what}: p50 {:.2} ms, p99 {:.2} ms",
                milliseconds(percentile(times, 50)),
                milliseconds(percentile(times, 99)),
            ))?;
        }
        let Churned {
            elsewhere,
            inside,
            whole,
            changes,
        } = measured.churned;
        self.note(&format!(
            "churn: {changes:.0} addresses added or deleted per second; in a netns that churns itself an \
             address is answered for after {:.0} ms, p50, the slowest after {:.0} ms",
            milliseconds(percentile(&inside, 50)),
            milliseconds(percentile(&inside, 100)),
        ))?;
        self.note(&format!(
            "a sync of everything with 1000 children in 100 netns: {:.0} ms",
            milliseconds(measured.first)
        ))?;
        self.note(&format!(
            "with 10 000 addresses more, everything was read {:.1} times a second without a pause",
            measured.resynced.whole
        ))?;
        let mut told = vec![
            (
                "resident memory of the agent with 1000 children".to_owned(),
                measured.idle.resident_megabytes,
                "MB",
                20.0,
            ),
            (
                "wake-ups of the idle agent in 10 s".to_owned(),
                measured.idle.wakes,
                "",
                2.0,
            ),
            (
                "whole syncs per second during churn".to_owned(),
                whole,
                "",
                10.0,
            ),
        ];
        for (when, times, limits) in [
            ("", measured.quiet, [5.0, 50.0]),
            (" during churn elsewhere", elsewhere, [250.0, 250.0]),
            (
                " while everything is read again and again",
                measured.resynced.times,
                [15.0, 50.0],
            ),
        ] {
            for (percent, limit) in [50, 99].into_iter().zip(limits) {
                let name = format!("address added to first ARP reply{when}, p{percent}");
                told.push((name, milliseconds(percentile(&times, percent)), "ms", limit));
            }
        }
        for (of, limit) in measured.cold.into_iter().zip([1000.0, 6000.0]) {
            let many = of.addresses;
            self.note(&format!(
                "start with {many} addresses, programs verified: {:.0} ms",
                milliseconds(of.ready)
            ))?;
            told.push((
                format!("cold sync of {many} addresses"),
                milliseconds(of.sync),
                "ms",
                limit,
            ));
            told.push((
                format!("resident memory with {many} addresses"),
                of.resident_megabytes,
                "MB",
                32.0,
            ));
        }
        let mut good = true;
        for (name, value, unit, limit) in told {
            good &= self.tell(&Number {
                name: &name,
                value,
                unit,
                limit,
            })?;
        }
        Ok(good)
    }

    fn note(&self, text: &str) -> Result<()> {
        println!("{text}");
        self.results.write(&Line::Note { text })
    }

    /// Tells what a flood of questions does, and whether every one of them was counted.
    fn flood(&self, family: Family) -> Result<bool> {
        let what = match family {
            Family::V4 => "100 000 ARP requests for nobody here",
            Family::V6 => "100 000 solicitations for nobody here",
        };
        println!("measuring: {what}");
        let flood::Flood {
            answers,
            lost,
            missing,
            wakes,
            growth_megabytes,
        } = flood::measure(&self.ipvlan, family)?;
        println!("{what}: the driver lost {lost}");
        let told = [
            ("answers", answers, "", 0.0),
            ("neither counted nor lost by the driver", missing, "", 0.0),
            ("wake-ups of the agent", wakes, "", 2.0),
            ("growth of the agent", growth_megabytes, "MB", 0.2),
        ];
        let mut good = true;
        for (aspect, value, unit, limit) in told {
            good &= self.tell(&Number {
                name: &format!("{what}: {aspect}"),
                value,
                unit,
                limit,
            })?;
        }
        Ok(good)
    }

    fn tell(&self, number: &Number<'_>) -> Result<bool> {
        let Number {
            name,
            value,
            unit,
            limit,
        } = *number;
        let met = value <= limit;
        let verdict = if met { "met" } else { "MISSED" };
        println!("{name}: {value:.2} {unit} (at most {limit} {unit}: {verdict})");
        self.results.write(&Line::Number {
            name,
            value,
            unit,
            limit,
            met,
        })?;
        Ok(met)
    }
}

struct Number<'a> {
    name: &'a str,
    value: f64,
    unit: &'static str,
    limit: f64,
}

/// A host, another machine on its link, and many netns for children.
struct Site {
    host: Netns,
    vm01: Netns,
    children: Vec<Netns>,
}

impl Site {
    fn build(lab: &Lab, netnses: usize) -> Result<Self> {
        let (host, vm01) = (lab.netns("host")?, lab.netns("vm01")?);
        connect(&host, PARENT, &vm01, "eth0")?;
        host.ip(&format!(
            "addr add 172.16.91.14/24 dev {PARENT}\naddr add 2001:db8:91::14/64 dev {PARENT}\n"
        ))?;
        vm01.ip("addr add 172.16.91.10/24 dev eth0\naddr add 2001:db8:91::10/64 dev eth0\n")?;
        let children = (1..=netnses)
            .map(|number| lab.netns(&format!("ns{number:03}")))
            .collect::<Result<_>>()?;
        Ok(Self {
            host,
            vm01,
            children,
        })
    }
}

fn as_float(number: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(number)?))
}

pub(crate) fn percentile(times: &[std::time::Duration], percent: usize) -> std::time::Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let place = (times.len() * percent).div_ceil(100).max(1) - 1;
    times.get(place).copied().unwrap_or_default()
}

pub(crate) fn milliseconds(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentile_is_the_smallest_that_covers_enough() {
        let times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(50));
        assert_eq!(percentile(&times, 99), Duration::from_millis(99));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(100));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
