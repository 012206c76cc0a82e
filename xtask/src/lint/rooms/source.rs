//! Paths from the root of a crate in a source file.

use std::path::Path;

/// A room that a file uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// File and line.
    pub(super) place: String,
    /// First name behind `crate::`.
    pub(super) room: String,
    /// Not in a `use` declaration.
    pub(super) is_inline: bool,
}

/// Returns what a file names by a path from `crate`, tests and comments left out.
pub(super) fn uses(path: &Path, text: &str) -> Vec<Use> {
    let code = code(text);
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let before = &code[..at];
        // `$crate` is the crate of a macro, and `pub(in crate::…)` is no use.
        if before.ends_with(|c: char| c == '$' || c == '_' || c.is_alphanumeric())
            || before.ends_with("pub(in ")
        {
            continue;
        }
        let is_inline = !before.trim_end().ends_with("use");
        for (offset, room) in first_names(&code[at + prefix.len()..]) {
            let end = at + prefix.len() + offset;
            let line = code[..end].matches('\n').count() + 1;
            found.push(Use {
                place: format!("{}:{line}", path.display()),
                room: room.to_owned(),
                is_inline,
            });
        }
    }
    found
}

/// Removes comments, and the tests at the end, without moving any line.
fn code(text: &str) -> String {
    let is_tests = |line: &str| !line.starts_with(' ') && line.ends_with("mod tests {");
    let lines = text.lines().take_while(|line| !is_tests(line)).map(|line| {
        let is_comment = line.trim_start().starts_with("//");
        let code = line.split(" // ").next().unwrap_or(line);
        if is_comment { "" } else { code }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the first names of a path or of a braced list of paths, with their offsets.
fn first_names(path: &str) -> Vec<(usize, &str)> {
    let name = |at: usize| {
        let rest = &path[at..];
        let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric());
        (at, &rest[..end.unwrap_or(rest.len())])
    };
    if !path.starts_with('{') {
        return vec![name(0)];
    }
    let mut names = Vec::new();
    let mut depth = 0_u32;
    let mut is_first = false;
    for (at, character) in path.char_indices() {
        match character {
            '{' => {
                depth += 1;
                is_first = depth == 1;
            }
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' => is_first = depth == 1,
            _ if is_first && !character.is_whitespace() => {
                names.push(name(at));
                is_first = false;
            }
            _ => {}
        }
    }
    names
}
