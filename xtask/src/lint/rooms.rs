//! Which room of a crate uses which: the tables of ARCHITECTURE.md, held against the `use` lines.
//!
//! A room is a module at the root of a crate. A row of a table names one or more rooms and the rooms of later rows that
//! they use, so that the order of the rows is the layering and no circle is possible. Tests are not looked at: they may
//! reach for anything.

mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Result, bail};

use self::source::{Use, uses};
use crate::{exec, paths};

/// Document with the tables.
const DOCUMENT: &str = "ARCHITECTURE.md";

/// Start of the first cell of a table of rooms; the directory follows in backquotes.
const HEADER: &str = "Rooms of ";

/// Rooms of one directory, and what each of them uses.
#[derive(Debug, Default)]
struct Table {
    directory: String,
    rows: Vec<Row>,
}

#[derive(Debug, Default)]
struct Row {
    rooms: Vec<String>,
    uses: BTreeSet<String>,
}

/// Fails if a room uses one that its row does not name, if a row names one that is not used, or if the rows are not the
/// rooms that exist.
pub(super) fn check() -> Result<()> {
    let workspace = paths::workspace();
    let tables = tables(&paths::read(&workspace.join(DOCUMENT))?);
    if tables.is_empty() {
        bail!("{DOCUMENT} has no table that begins with `| {HEADER}`");
    }
    let mut faults = Vec::new();
    for table in tables {
        faults.extend(table.order_faults());
        let directory = workspace.join(&table.directory);
        let mut rooms = BTreeMap::new();
        for path in paths::list(&directory)? {
            let room = path.file_stem().unwrap_or_default().to_string_lossy();
            if ["lib", "main", "tests"].contains(&&*room) {
                continue;
            }
            let found: &mut Vec<Use> = rooms.entry(room.into_owned()).or_default();
            read(workspace, &path, found)?;
        }
        faults.extend(table.faults(&rooms));
    }
    exec::fail_for("layering:", &faults)
}

/// Collects what the files of a room use.
fn read(workspace: &Path, path: &Path, found: &mut Vec<Use>) -> Result<()> {
    if path.is_dir() {
        for path in paths::list(path)? {
            if path.file_stem().is_none_or(|name| name != "tests") {
                read(workspace, &path, found)?;
            }
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let place = path.strip_prefix(workspace).unwrap_or(path);
        found.extend(uses(place, &paths::read(path)?));
    }
    Ok(())
}

/// Reads the tables of a document.
fn tables(text: &str) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut current: Option<Table> = None;
    for line in text.lines() {
        let Some(cells) = line.strip_prefix('|') else {
            tables.extend(current.take());
            continue;
        };
        let cells: Vec<_> = cells.trim_end_matches('|').split('|').collect();
        let (Some(first), Some(last)) = (cells.first(), cells.last()) else {
            continue;
        };
        if first.trim_start().starts_with(HEADER) {
            tables.extend(current.take());
            current = Some(Table {
                directory: quoted(first).next().unwrap_or_default().to_owned(),
                rows: Vec::new(),
            });
        } else if let Some(table) = &mut current {
            let rooms: Vec<_> = quoted(first).map(str::to_owned).collect();
            if !rooms.is_empty() {
                table.rows.push(Row {
                    rooms,
                    uses: quoted(last).map(str::to_owned).collect(),
                });
            }
        }
    }
    tables.extend(current);
    tables
}

/// Returns what stands between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

impl Table {
    /// Returns where a row names a room of its own row or of an earlier one, or one without a row.
    fn order_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (place, row) in self.rows.iter().enumerate() {
            let later: BTreeSet<_> = self.rows[place + 1..]
                .iter()
                .flat_map(|row| &row.rooms)
                .collect();
            faults.extend(row.uses.iter().filter(|used| !later.contains(used)).map(|used| {
                format!(
                    "{DOCUMENT}: the row of `{}` uses `{used}`, which is not in a later row of {}: rooms use those \
                     below them only",
                    row.rooms.join("`, `"),
                    self.directory
                )
            }));
        }
        faults
    }

    /// Returns where the rooms and their files differ from the rows.
    fn faults(&self, rooms: &BTreeMap<String, Vec<Use>>) -> Vec<String> {
        let mut faults = Vec::new();
        for room in rooms.keys() {
            if !self.rows.iter().any(|row| row.rooms.contains(room)) {
                faults.push(format!(
                    "{}/{room}: a room without a row in {DOCUMENT}: say there what it is for and which rooms it uses",
                    self.directory
                ));
            }
        }
        for row in &self.rows {
            let mut unused = row.uses.clone();
            for room in &row.rooms {
                let Some(uses) = rooms.get(room) else {
                    faults.push(format!(
                        "{DOCUMENT}: `{room}` is not in {}: remove it there",
                        self.directory
                    ));
                    continue;
                };
                for one in uses {
                    unused.remove(&one.room);
                    faults.extend(row.fault(room, one, rooms));
                }
            }
            faults.extend(unused.iter().map(|used| {
                format!(
                    "{DOCUMENT}: `{}` does not use `{used}`: remove it there",
                    row.rooms.join("`, `")
                )
            }));
        }
        faults
    }
}

impl Row {
    /// Returns what is wrong with one use by a room of this row.
    fn fault(&self, room: &str, one: &Use, rooms: &BTreeMap<String, Vec<Use>>) -> Option<String> {
        // What is not a room is an item at the root of the crate.
        if !rooms.contains_key(&one.room) {
            return None;
        }
        if one.is_inline {
            return Some(format!(
                "{}: `crate::{}` inside a line: import it with `use`",
                one.place, one.room
            ));
        }
        let is_own = self.rooms.contains(&one.room);
        (!is_own && !self.uses.contains(&one.room)).then(|| {
            format!(
                "{}: `{room}` does not use `{}` (table of rooms in {DOCUMENT}): move what it needs to a room below \
                 both, pass it in, or change the table",
                one.place, one.room
            )
        })
    }
}

#[cfg(test)]
mod tests;
