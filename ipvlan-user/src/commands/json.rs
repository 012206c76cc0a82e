//! JSON for a terminal.

use serde::Serialize;

use crate::{exit::Failure, text::printable};

/// Renders a value as indented JSON with printable characters and line feeds only.
///
/// serde escapes the control characters that JSON forbids, not DEL, C1 and format characters. They can be in
/// strings only, where each has an escape of its own: one for each unit of UTF-16.
pub fn render(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(escaped(&serde_json::to_string_pretty(value)?, escape) + "\n")
}

fn escape(character: char) -> String {
    let mut units = [0; 2];
    let units = character.encode_utf16(&mut units).iter();
    let escapes: Vec<_> = units.map(|unit| format!("\\u{unit:04x}")).collect();
    escapes.concat()
}

/// Prints a value as indented JSON.
pub(super) fn print(value: &impl Serialize) -> Result<(), Failure> {
    super::print(render(value).map_err(Failure::system("write JSON"))?)
}

/// Prints values as JSON, one per line.
pub(super) fn print_lines(values: &[impl Serialize]) -> Result<(), Failure> {
    let lines = values.iter().map(line).collect::<Result<Vec<_>, _>>();
    super::print(lines.map_err(Failure::system("write JSON"))?.concat())
}

/// Renders a value as one line of JSON.
pub(super) fn line(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(escaped(&serde_json::to_string(value)?, escape) + "\n")
}

/// Returns `text` with the escape of each character that is not printable, line feeds aside.
pub(super) fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut shown = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        let is_escaped = printable(character.encode_utf8(&mut [0; 4]))
            .to_string()
            .starts_with("\\u{");
        if is_escaped && character != '\n' {
            shown += &escape(character);
        } else {
            shown.push(character);
        }
    }
    shown
}
