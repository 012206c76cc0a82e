//! One row of a benchmark: what, on which way, beside what, and how much it may be.

use serde::Serialize;

/// A measured value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Which way a frame took, or what was waited for.
    pub path: String,
    /// Who carried it there.
    pub variant: String,
    /// With how many children, or addresses of children.
    pub children: u32,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// The value as a part of that of the row it is compared with.
    pub ratio: Option<f64>,
    /// The most that the ratio may be; the value, if there is no ratio.
    pub goal: Option<f64>,
    /// Is it within the goal?
    pub met: Option<bool>,
}

impl Row {
    /// A value that nothing is expected of.
    pub fn new(
        path: impl Into<String>,
        variant: impl Into<String>,
        children: u32,
        value: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            path: path.into(),
            variant: variant.into(),
            children,
            value: rounded(value),
            unit,
            ratio: None,
            goal: None,
            met: None,
        }
    }

    /// The same, compared with `reference`.
    pub fn beside(self, reference: f64) -> Self {
        Self {
            ratio: (reference != 0.0).then(|| rounded(self.value / reference)),
            ..self
        }
    }

    /// The same, with the most it may be: as precise as it is told.
    pub fn at_most(self, goal: f64) -> Self {
        Self {
            goal: Some(goal),
            met: Some(self.ratio.unwrap_or(self.value) <= rounded(goal)),
            ..self
        }
    }
}

/// To a thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_one_of_the_ratio_if_there_is_one() {
        let row = Row::new("rx", "ours", 1, 110.0, "ns");
        assert_eq!(row.clone().at_most(100.0).met, Some(false));
        assert_eq!(row.clone().beside(100.0).at_most(1.1).met, Some(true));
        assert_eq!(row.clone().beside(100.0).at_most(1.09).met, Some(false));
        assert_eq!(row.met, None);
    }

    #[test]
    fn a_third_is_a_third() {
        let row = Row::new("arp", "ours", 1, 333.3, "ns").beside(1000.0);
        assert_eq!(row.at_most(1.0 / 3.0).met, Some(true));
    }

    #[test]
    fn nothing_is_no_reference() {
        assert_eq!(Row::new("rx", "ours", 1, 1.0, "ns").beside(0.0).ratio, None);
    }
}
