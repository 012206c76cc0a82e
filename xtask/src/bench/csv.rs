//! Rows in files that are committed: one report, one file of comma-separated values.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use super::report::Report;
use crate::paths;

/// Writes `report` to `path`.
pub(super) fn write(report: &Report, path: &Path) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in &report.rows {
        writer.serialize(row)?;
    }
    let rows = String::from_utf8(writer.into_inner()?)?;
    let text = format!("# {} on Linux {}\n{rows}", report.instrument, report.kernel);
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads all reports in `directory`, in the order of their names.
pub(super) fn read(directory: &Path) -> Result<Vec<Report>> {
    let mut files = paths::list(directory)?;
    files.retain(|file| file.extension().is_some_and(|kind| kind == "csv"));
    files
        .iter()
        .map(|file| parse(&paths::read(file)?).with_context(|| format!("{}", file.display())))
        .collect()
}

fn parse(text: &str) -> Result<Report> {
    let (title, table) = text.split_once('\n').unwrap_or_default();
    let Some((instrument, kernel)) = title
        .strip_prefix("# ")
        .and_then(|title| title.split_once(" on Linux "))
    else {
        bail!("no instrument and kernel in its first line");
    };
    let rows = csv::Reader::from_reader(table.as_bytes())
        .deserialize()
        .collect::<csv::Result<_>>()?;
    Ok(Report::new(instrument, kernel, rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Row;

    fn report() -> Report {
        let row = Row {
            path: "RX, LAN to \"l3\" child".to_owned(),
            variant: "agent".to_owned(),
            children: 256,
            value: 2266.62,
            unit: "instructions".to_owned(),
            ratio: Some(1.063),
            goal: None,
            met: Some(false),
        };
        let bare = Row {
            ratio: None,
            met: None,
            goal: Some(125.0),
            ..row.clone()
        };
        Report::new("vm", "6.12.95", vec![row, bare])
    }

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        write(&report(), &directory.path().join("vm.csv")).unwrap();
        assert_eq!(read(directory.path()).unwrap(), [report()]);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let text = "# vm on Linux 6.12\npath,variant,children\nrx,agent\n";
        let error = format!("{:#}", parse(text).unwrap_err());
        assert!(error.contains("record with 2 fields"), "{error}");
    }

    #[test]
    fn whole_numbers_of_the_committed_baseline_are_read() {
        let text = "# vm on Linux 6.12\npath,variant,children,value,unit,ratio,goal,met\n\
                    \"RX, LAN\",agent,1,9,ns,,30000,true\n";
        let report = parse(text).unwrap();
        let Row { value, ratio, .. } = &report.rows[0];
        assert_eq!((*value, *ratio), (9.0, None));
    }
}
