//! Paths from the root of a crate in a source file: those that begin with `crate::`, and those that lead there by
//! `super::`.

use std::path::{Component, Path};

/// A room that a file uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// File and line.
    pub(super) place: String,
    /// First name behind the root of the crate.
    pub(super) room: String,
    /// Not in a `use` declaration.
    pub(super) is_inline: bool,
}

/// Returns what a file names by a path from the root of its crate, tests and comments left out.
pub(super) fn uses(path: &Path, text: &str) -> Vec<Use> {
    let code = code(text);
    let from_root = code.match_indices(CRATE).map(|(at, _)| (at, CRATE, 0));
    let above = depth(path).saturating_sub(1);
    let from_above = code
        .match_indices(SUPER)
        .filter(|&(at, _)| !code[..at].ends_with(SUPER))
        .map(|(at, _)| (at, SUPER, above));
    let mut found = Vec::new();
    for (at, prefix, supers) in from_root.chain(from_above) {
        let before = &code[..at];
        // `$crate` is the crate of a macro, and `pub(in crate::…)` is no use.
        if before.ends_with(|c: char| c == '$' || c == '_' || c.is_alphanumeric())
            || before.ends_with("pub(in ")
        {
            continue;
        }
        let is_inline = !before.trim_end().ends_with("use");
        for (offset, room) in first_names(&code[at + prefix.len()..], supers) {
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

const CRATE: &str = "crate::";
const SUPER: &str = "super::";

/// Returns how many times `super::` leads from a file to the root of its crate.
fn depth(path: &Path) -> usize {
    let mut names = path.components().map(Component::as_os_str);
    names.by_ref().find(|name| *name == "src");
    let is_directory = path.file_stem().is_some_and(|name| name == "mod");
    names.count() - usize::from(is_directory)
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

/// Returns the first names at the root of the crate, with their offsets, of a path or of a braced list of paths, from
/// which so many `super::` lead there.
fn first_names(path: &str, supers: usize) -> Vec<(usize, &str)> {
    let names_at = |at: usize, supers| {
        let names = first_names(&path[at..], supers).into_iter();
        names.map(move |(offset, name)| (at + offset, name))
    };
    if !path.starts_with('{') {
        if supers > 0 {
            let is_above = path.starts_with(SUPER);
            let above = is_above.then(|| names_at(SUPER.len(), supers - 1));
            return above.into_iter().flatten().collect();
        }
        let end = path.find(|c: char| c != '_' && !c.is_alphanumeric());
        return vec![(0, &path[..end.unwrap_or(path.len())])];
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
                names.extend(names_at(at, supers));
                is_first = false;
            }
            _ => {}
        }
    }
    names
}
