use super::*;
use crate::commands::top::samples::{CHILDREN, agent, agent_times};

const SECOND: Duration = Duration::from_secs(1);

/// The rates of requests answered for the children, after so much time.
fn answered_after(before: Agent, now: Agent, time: Duration) -> Vec<Option<f64>> {
    let (_, counted) = measure(vec![(944, before)], SECOND, None, LinkCounters::Kept);
    let at = SECOND + time;
    let (measured, _) = measure(vec![(945, now)], at, Some(&counted), LinkCounters::Kept);
    let rates = measured.children.iter().map(|of| of.per_second);
    rates.map(|of| of.map(|of| of.answered)).collect()
}

#[test]
fn rates_are_differences_by_time_whichever_agent_counts() {
    let rates = |factor, time| answered_after(agent_times(1), agent_times(factor), time);
    let known = |rates: [f64; 4]| rates.map(Some).to_vec();
    assert_eq!(rates(1, SECOND), known([0.0; 4]));
    assert_eq!(rates(2, SECOND), known([1200.0, 40.0, 0.0, 0.0]));
    assert_eq!(rates(2, SECOND * 10), known([120.0, 4.0, 0.0, 0.0]));
    assert_eq!(rates(2, SECOND * 7), known([171.4, 5.7, 0.0, 0.0]));
    // Two answers of one moment, and counters that began anew.
    assert_eq!(rates(2, Duration::ZERO), vec![None; 4]);
    let restarted = answered_after(agent_times(2), agent_times(1), SECOND);
    assert_eq!(restarted, [None, None, None, Some(0.0)]);
    // A child that was not there.
    let grown = answered_after(agent(&CHILDREN[..1]), agent(&CHILDREN), SECOND);
    assert_eq!(grown, [Some(0.0), None, None, None]);
}

#[test]
fn the_first_measurement_has_no_rates() {
    let (measured, _) = measure(
        vec![(944, agent_times(1))],
        SECOND,
        None,
        LinkCounters::Fresh,
    );
    assert_eq!(measured.interval, None);
    assert!(measured.children.iter().all(|of| of.per_second.is_none()));
    assert_eq!(measured.agents[0].parents[0].answered_per_second, None);
}

#[test]
fn parents_have_their_own_rates_and_numbers() {
    let (_, counted) = measure(
        vec![(944, agent_times(1))],
        SECOND,
        None,
        LinkCounters::Kept,
    );
    let answers = vec![(944, agent_times(2))];
    let (measured, _) = measure(answers, SECOND * 3, Some(&counted), LinkCounters::Kept);
    let parent = &measured.agents[0].parents[0];
    // `not_ours` is no answer.
    assert_eq!(parent.answered_per_second, Some(620.0));
    assert_eq!(
        (parent.children, parent.children_up, parent.conflicts),
        (4, 3, 1)
    );
    let conflicts = measured.children.iter().map(|of| of.conflicts.len());
    assert_eq!(conflicts.collect::<Vec<_>>(), [0, 0, 1, 0]);
}

#[test]
fn links_have_rates_if_their_counters_are_fresh() {
    for (links, expected) in [
        (LinkCounters::Kept, None),
        (
            LinkCounters::Fresh,
            Some(LinkRates {
                rx_packets: 12000.0,
                rx_bytes: 1_200_000.0,
                tx_packets: 6000.0,
                tx_bytes: 600_000.0,
            }),
        ),
    ] {
        let (_, counted) = measure(vec![(944, agent_times(1))], SECOND, None, links);
        let answers = vec![(944, agent_times(2))];
        let (measured, _) = measure(answers, SECOND * 2, Some(&counted), links);
        assert_eq!(measured.children[0].per_second.unwrap().link, expected);
    }
}

#[test]
fn rates_are_shown_with_few_digits() {
    for (rate, text) in [
        (None, "-"),
        (Some(0.0), "0"),
        (Some(0.3), "0.3"),
        (Some(3.0), "3"),
        (Some(9.9), "9.9"),
        (Some(10.4), "10"),
        (Some(9_999.0), "9999"),
        (Some(10_000.0), "10.0k"),
        (Some(999_900.0), "999.9k"),
        (Some(1_500_000.0), "1.5M"),
        (Some(2.5e9), "2.5G"),
        (Some(2.5e13), "25.0T"),
    ] {
        assert_eq!(shown(rate), text);
    }
}
