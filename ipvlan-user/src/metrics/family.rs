//! A metric family: its name, and how its series follow from the state. And all of them as a text.

use std::{borrow::Cow, collections::BTreeSet, fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, MetricEncoder, NoLabelSet, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::{Registry, Unit},
};

use super::{agent, child, parent};
use crate::runtime::State;

/// A metric family.
#[derive(Debug)]
pub struct Metric {
    /// Its name, without unit and suffix.
    pub name: &'static str,
    /// What it counts or measures: one sentence without a period at its end.
    pub help: &'static str,
    /// Its base unit; none if it is a number of things.
    pub unit: Option<&'static str>,
    /// Its type.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Whether it has to be asked for.
    pub scope: Scope,
    /// Reads its series from the state.
    pub(super) series: for<'a> fn(&'a State) -> Vec<Series<'a>>,
}

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the agent is restarted.
    Counter,
    /// It grows and falls.
    Gauge,
    /// Its labels are what it has to say; the value is 1.
    Info,
}

/// Which series there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// As many as parents and words.
    Bounded,
    /// One or more for each child: only with `--metrics-children`.
    Children,
}

/// A series: the values of the labels, and its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Series<'a> {
    /// The values of [`Metric::labels`].
    pub labels: Vec<Cow<'a, str>>,
    /// Its value.
    pub value: Value,
}

/// The value of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number of things.
    Whole(u64),
    /// A measure.
    Number(f64),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Whole(is_so.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// Returns the only series of a metric without labels.
pub(super) fn single<'a>(value: impl Into<Value>) -> Vec<Series<'a>> {
    vec![Series {
        labels: Vec::new(),
        value: value.into(),
    }]
}

/// Returns a series with these values of its labels.
pub(super) fn series<const N: usize>(
    labels: [Cow<'_, str>; N],
    value: impl Into<Value>,
) -> Series<'_> {
    Series {
        labels: labels.into(),
        value: value.into(),
    }
}

/// Iterates over all metrics, in the order of the text.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    [agent::METRICS, parent::METRICS, child::METRICS]
        .into_iter()
        .flatten()
}

impl Metric {
    /// Returns the name of its series.
    #[must_use]
    pub fn series_name(&self) -> String {
        let unit = self
            .unit
            .map_or_else(String::new, |unit| format!("_{unit}"));
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge => "",
            Kind::Info => "_info",
        };
        format!("{}{unit}{suffix}", self.name)
    }

    /// Returns its series. Labels tell them apart: a second one with the same is left out, since a scrape with it
    /// would be refused.
    #[must_use]
    pub fn series<'a>(&self, state: &'a State) -> Vec<Series<'a>> {
        let mut seen = BTreeSet::new();
        let mut series = (self.series)(state);
        series.retain(|of| seen.insert(of.labels.clone()));
        series
    }

    fn encode(&self, state: &State, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let unit = self.unit.map(|unit| Unit::Other(unit.to_owned()));
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Info => MetricType::Info,
        };
        let mut family = encoder.encode_descriptor(self.name, self.help, unit.as_ref(), kind)?;
        for series in self.series(state) {
            let values = series.labels.iter().map(AsRef::as_ref);
            let labels: Vec<(&str, &str)> = self.labels.iter().copied().zip(values).collect();
            match (self.kind, series.value) {
                (Kind::Info, _) => family.encode_info(&labels)?,
                (Kind::Gauge, Value::Whole(value)) => {
                    family.encode_family(&labels)?.encode_gauge(&value)?;
                }
                (Kind::Gauge, Value::Number(value)) => {
                    family.encode_family(&labels)?.encode_gauge(&value)?;
                }
                (Kind::Counter, Value::Whole(value)) => {
                    counter(family.encode_family(&labels)?, &value)?;
                }
                (Kind::Counter, Value::Number(value)) => {
                    counter(family.encode_family(&labels)?, &value)?;
                }
            }
        }
        Ok(())
    }
}

fn counter(mut encoder: MetricEncoder<'_>, value: &impl EncodeCounterValue) -> fmt::Result {
    let no_exemplar: Option<&Exemplar<NoLabelSet, f64>> = None;
    encoder.encode_counter(value, no_exemplar)
}

/// All metrics of a state.
#[derive(Debug)]
struct Exposition {
    state: Arc<State>,
    children: bool,
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let wanted = |metric: &&Metric| self.children || metric.scope == Scope::Bounded;
        for metric in metrics().filter(wanted) {
            metric.encode(&self.state, &mut encoder)?;
        }
        Ok(())
    }
}

/// Returns the text of a state; `children` adds the series of each child.
pub(super) fn exposition(state: Arc<State>, children: bool) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposition { state, children }));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}
