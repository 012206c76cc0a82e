//! What an instrument found on one kernel: as a table, as JSON.

use comfy_table::Table;
use serde::{Deserialize, Serialize};

use crate::{results::Row, table::markdown};

/// Number of the form of a report; goes up when it changes.
pub(crate) const SCHEMA: u32 = 1;

/// All rows of an instrument on one kernel.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `prog`, `vm` or `numbers`.
    pub instrument: String,
    /// The release of the kernel.
    pub kernel: String,
    /// In the order in which they were measured.
    pub rows: Vec<Row>,
}

impl Report {
    /// A report of the form that is current.
    pub(crate) fn new(instrument: &str, kernel: &str, rows: Vec<Row>) -> Self {
        Self {
            schema: SCHEMA,
            instrument: instrument.to_owned(),
            kernel: kernel.to_owned(),
            rows,
        }
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let (all, met) = self.goals();
        format!(
            "{} on Linux {}\n{}\n{met} of {all} goals met\n",
            self.instrument,
            self.kernel,
            table(&self.rows)
        )
    }

    /// How many goals there are, and how many are met.
    pub(crate) fn goals(&self) -> (usize, usize) {
        let met = self.rows.iter().filter_map(|row| row.met);
        (met.clone().count(), met.filter(|met| *met).count())
    }
}

/// Returns a table of rows, as documents have it.
pub(crate) fn table<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Table {
    let header = [
        "path", "variant", "children", "value", "", "ratio", "goal", "",
    ];
    let mut table = markdown(header, &[2, 3, 5, 6]);
    table.add_rows(rows.into_iter().map(words));
    table
}

fn words(row: &Row) -> [String; 8] {
    let Row {
        path,
        variant,
        children,
        value,
        unit,
        ratio,
        goal,
        met,
    } = row;
    [
        path.clone(),
        variant.clone(),
        children.to_string(),
        short(*value),
        unit.clone(),
        ratio.map(|ratio| format!("{ratio:.3}")).unwrap_or_default(),
        goal.map(short).unwrap_or_default(),
        met.map(|met| if met { "met" } else { "MISSED" })
            .unwrap_or_default()
            .to_owned(),
    ]
}

/// As many digits as tell something.
pub(crate) fn short(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            path: "RX".to_owned(),
            variant: "ours".to_owned(),
            children: 1,
            value: 1646.4,
            unit: "instructions".to_owned(),
            ratio: Some(1.05),
            goal: Some(1.045),
            met: Some(false),
        }
    }

    #[test]
    fn a_report_names_what_is_missed() {
        let report = Report::new("vm", "6.12", vec![row()]);
        assert_eq!(report.goals(), (1, 0));
        let shown = report.table();
        assert!(shown.contains("1646"), "{shown}");
        assert!(shown.contains("MISSED"), "{shown}");
        assert!(shown.contains("0 of 1 goals met"), "{shown}");
    }

    #[test]
    fn json_is_of_the_form_that_is_documented() {
        let report = Report::new("prog", "6.18", vec![row()]);
        let json: serde_json::Value = serde_json::to_value(&report).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["rows"][0]["path"], "RX");
        assert_eq!(json["rows"][0]["met"], false);
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }
}
