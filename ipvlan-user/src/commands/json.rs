//! JSON for a terminal.

use std::fmt::Write as _;

use serde::Serialize;

use crate::text::printable;

/// Renders a value as indented JSON with printable characters and line feeds only.
pub fn render(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(escape(&serde_json::to_string_pretty(value)?) + "\n")
}

/// Returns JSON with an escape for each character that is not printable, line feeds aside.
///
/// serde escapes the control characters that JSON forbids, not DEL, C1 and format characters. They can be in
/// strings only, where each has an escape of its own.
pub(super) fn escape(json: &str) -> String {
    let mut text = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        let shown = printable(character.encode_utf8(&mut [0; 4])).to_string();
        if character == '\n' || !shown.starts_with("\\u{") {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _: std::fmt::Result = write!(text, "\\u{unit:04x}");
        }
    }
    text
}
