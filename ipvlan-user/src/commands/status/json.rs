//! The status as JSON for a terminal.

use std::fmt::Write as _;

use crate::{protocol::Status, text::printable};

/// Renders a status as indented JSON with printable characters and line feeds only.
///
/// serde escapes the control characters that JSON forbids, not DEL, C1 and format characters. They can be in
/// strings only, where each has an escape of its own.
pub fn render(status: &Status) -> serde_json::Result<String> {
    let json = serde_json::to_string_pretty(status)?;
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
    text.push('\n');
    Ok(text)
}
