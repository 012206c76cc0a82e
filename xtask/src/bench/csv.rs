//! Rows in files that are committed: one report, one file of comma-separated values.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

use super::report::Report;
use crate::results::Row;

const HEADER: &str = "path,variant,children,value,unit,ratio,goal,met";

/// Writes `report` to `path`.
pub(super) fn write(report: &Report, path: &Path) -> Result<()> {
    let lines = report.rows.iter().map(line);
    let lines: Vec<_> = std::iter::once(HEADER.to_owned()).chain(lines).collect();
    let text = format!(
        "# {} on Linux {}\n{}\n",
        report.instrument,
        report.kernel,
        lines.join("\n")
    );
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads all reports in `directory`, in the order of their names.
pub(super) fn read(directory: &Path) -> Result<Vec<Report>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|kind| kind == "csv"));
    files.sort();
    files
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file)?;
            parse(&text).with_context(|| format!("{}", file.display()))
        })
        .collect()
}

fn parse(text: &str) -> Result<Report> {
    let mut lines = text.lines();
    let title = lines.next().unwrap_or_default();
    let Some((instrument, kernel)) = title
        .strip_prefix("# ")
        .and_then(|title| title.split_once(" on Linux "))
    else {
        bail!("no instrument and kernel in its first line");
    };
    ensure!(lines.next() == Some(HEADER), "other columns than {HEADER}");
    let rows = lines
        .map(|line| row(line).with_context(|| format!("`{line}`")))
        .collect::<Result<_>>()?;
    Ok(Report::new(instrument, kernel, rows))
}

fn line(row: &Row) -> String {
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
        quoted(path),
        quoted(variant),
        children.to_string(),
        value.to_string(),
        quoted(unit),
        ratio.map(|ratio| ratio.to_string()).unwrap_or_default(),
        goal.map(|goal| goal.to_string()).unwrap_or_default(),
        met.map(|met| met.to_string()).unwrap_or_default(),
    ]
    .join(",")
}

/// RFC 4180; no field has a line break in it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn row(line: &str) -> Result<Row> {
    let fields = fields(line);
    let [path, variant, children, value, unit, ratio, goal, met] = fields
        .try_into()
        .map_err(|fields: Vec<_>| anyhow::anyhow!("{} fields", fields.len()))?;
    Ok(Row {
        path,
        variant,
        children: children.parse()?,
        value: value.parse()?,
        unit,
        ratio: optional(&ratio)?,
        goal: optional(&goal)?,
        met: optional(&met)?,
    })
}

fn optional<T>(text: &str) -> Result<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    Ok(match text {
        "" => None,
        text => Some(text.parse()?),
    })
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut within = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if within && letters.peek() == Some(&'"') => {
                letters.next();
                push(&mut fields, '"');
            }
            '"' => within = !within,
            ',' if !within => fields.push(String::new()),
            letter => push(&mut fields, letter),
        }
    }
    fields
}

fn push(fields: &mut [String], letter: char) {
    if let Some(last) = fields.last_mut() {
        last.push(letter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_line_that_is_none_is_shown() {
        let text = format!("# vm on Linux 6.12\n{HEADER}\nrx,agent,1\n");
        let error = format!("{:#}", parse(&text).unwrap_err());
        assert!(error.contains("`rx,agent,1`: 3 fields"), "{error}");
    }
}
