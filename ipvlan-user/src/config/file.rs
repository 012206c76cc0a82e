//! Reads configuration files.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    ops::Range,
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{ConfigError, Options, rule};
use crate::text::escaped_path;

/// Size limit of a file, in bytes; 8 000 prefixes take half of it.
pub const LIMIT: usize = 256 << 10;
/// The directory beside a configuration file.
const DIRECTORY: &str = "config.d";
const EXTENSION: &str = "toml";

/// Returns `file`, which may be missing unless it is `required`, then the files of `config.d` beside it in the
/// order of their names. Hidden files, as editors leave them, are skipped.
pub(super) fn list(file: &Path, required: bool) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = Vec::new();
    match fs::metadata(file) {
        Ok(_) => files.push(file.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {}
        Err(error) => return Err(unreadable(file)(error)),
    }
    let directory = file.with_file_name(DIRECTORY);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(unreadable(&directory)(error)),
    };
    let mut beside = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable(&directory))?.path();
        let name = path.file_name().unwrap_or_default();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && path.extension().is_some_and(|of| of == EXTENSION) {
            beside.push(path);
        }
    }
    beside.sort();
    files.append(&mut beside);
    Ok(files)
}

/// Reads all files of [`list`] that can be read, and returns the errors of the others.
pub(super) fn read_what_can_be(file: &Path, required: bool) -> (Options, Vec<ConfigError>) {
    let (files, mut failures) = match list(file, required) {
        Ok(files) => (files, Vec::new()),
        Err(failure) => (Vec::new(), vec![failure]),
    };
    let mut options = Options::default();
    for path in &files {
        match read(path) {
            Ok(read) => options = read.over(options),
            Err(failure) => failures.push(failure),
        }
    }
    (options, failures)
}

/// Reads one file.
pub(super) fn read(path: &Path) -> Result<Options, ConfigError> {
    parse(path, &bytes(path)?)
}

/// Parses the contents of a configuration file. The path is for errors, and for the places of rules.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Options, ConfigError> {
    let invalid = |at: usize, key, message: &str| {
        let (line, column) = place(bytes, at);
        ConfigError::Invalid {
            path: path.to_owned(),
            line,
            column,
            key,
            message: one_line(message),
        }
    };
    let text = str::from_utf8(bytes)
        .map_err(|error| invalid(error.valid_up_to(), None, "not UTF-8 text"))?;
    let mut options: Options = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let table = DeTable::parse(text).ok();
        let key = table.and_then(|table| key(table.get_ref(), &span));
        // The word of serde for a list.
        let message = error.message().replace("a sequence", "a list in brackets");
        invalid(span.start, key, &message)
    })?;
    let line = |at| format!("{}:{}", escaped_path(path), place(bytes, at).0);
    rule::locate(&mut options.rule, text, line).map_err(|(error, at)| {
        let key = format!("rule.{}", error.key());
        invalid(at, Some(key), &error.to_string())
    })?;
    Ok(options)
}

fn bytes(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = unreadable(path);
    // A pipe without a writer does not block.
    let mut options = OpenOptions::new();
    let opened = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file: File = opened.map_err(&failed)?;
    let kind = file.metadata().map_err(&failed)?.file_type();
    // A device for the sake of /dev/null.
    if !kind.is_file() && !kind.is_char_device() {
        return Err(ConfigError::NotAFile {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    file.take(LIMIT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(&failed)?;
    if bytes.len() > LIMIT {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
            line: place(&bytes, LIMIT).0,
            limit: LIMIT,
        });
    }
    Ok(bytes)
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> ConfigError {
    move |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

/// Returns line and column of a byte, both from 1; columns are characters.
fn place(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let mut lines = before.rsplit(|&byte| byte == b'\n');
    let last = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let (line, column) = (1 + lines.count(), 1 + last.chars().count());
    (line, column)
}

/// Returns the key whose name or value an error is at, with the keys that it is within.
fn key(table: &DeTable<'_>, error: &Range<usize>) -> Option<String> {
    let is_in = |all: Range<usize>| all.start <= error.start && error.end <= all.end;
    table.iter().find_map(|(name, value)| {
        let name_of = name.get_ref();
        let inner = inner_key(value.get_ref(), error);
        // The header of a table is where its value is, and begins before its name.
        let is_here = is_in(name.span().start..value.span().end) || is_in(value.span());
        inner
            .map(|inner| format!("{name_of}.{inner}"))
            .or_else(|| is_here.then(|| name_of.to_string()))
    })
}

fn inner_key(value: &DeValue<'_>, error: &Range<usize>) -> Option<String> {
    match value {
        DeValue::Table(table) => key(table, error),
        DeValue::Array(items) => items
            .iter()
            .find_map(|item| inner_key(item.get_ref(), error)),
        _ => None,
    }
}

fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
