//! Words that documents and help texts do not use, since the field has others.

use std::path::PathBuf;

use anyhow::Result;

use crate::{exec, paths};

/// A word or phrase, and what to say.
const WORDS: [(&str, &str); 19] = [
    ("gets ahead", "syncs"),
    ("goes on with", "adopts"),
    ("gone on with", "adopted"),
    ("held back", "withheld"),
    ("impostor", "duplicate address"),
    ("left alone", "passed on"),
    ("let go", "release"),
    ("lets go", "releases"),
    ("nobody here", "unowned"),
    ("radar", "conflicts"),
    ("somebody", "another process"),
    ("stranger", "station, unowned"),
    ("takes off", "removes, detaches"),
    ("tells", "reports, returns"),
    ("tidings", "event"),
    ("told", "reported"),
    ("turned around", "hairpinned"),
    ("turns around", "hairpins"),
    ("who asks", "the sender"),
];

/// Files of code whose doc comments are help texts.
const HELP: [&str; 3] = [
    "ipvlan-user/src/cli.rs",
    "ipvlan-user/src/config/options.rs",
    "ipvlan-user/src/config/words.rs",
];

/// Fails if a document or a help text uses one of [`WORDS`]. CHANGELOG.md has old names, and what is quoted as code is
/// not prose.
pub(super) fn check() -> Result<()> {
    let mut found = Vec::new();
    for path in files()? {
        let text = paths::read(&path)?;
        found.extend(dialect(&text).into_iter().map(|(line, word, better)| {
            format!("{}:{line}: \"{word}\"; say: {better}", path.display())
        }));
    }
    exec::fail_for("words that the field has others for:", &found)
}

fn files() -> Result<Vec<PathBuf>> {
    let root = paths::workspace().to_owned();
    let mut files: Vec<_> = HELP.map(|path| root.join(path)).into();
    for directory in [root.clone(), root.join("docs")] {
        files.extend(paths::list(&directory)?.into_iter().filter(|path| {
            let is_document = path.extension().is_some_and(|extension| extension == "md");
            is_document && !path.ends_with("CHANGELOG.md")
        }));
    }
    files.sort();
    Ok(files)
}

/// Returns the words with the numbers of their lines, and what to say.
fn dialect(text: &str) -> Vec<(usize, &'static str, &'static str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // What is between backquotes is every other part.
        let prose: Vec<_> = line.split('`').step_by(2).collect();
        let prose = prose.join("`").to_lowercase();
        let used = WORDS.iter().filter(|(word, _)| has(&prose, word));
        found.extend(used.map(|&(word, better)| (number, word, better)));
    }
    found
}

/// Whether `text` has `word` as a word of its own.
fn has(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        ![before, after]
            .into_iter()
            .flatten()
            .any(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_prose_and_not_in_code() {
        let text = "It is Told.\n`told`\n```\ntold\n```\nuntold, tellsome\nA packet is\nturned around: `x` tells\n";
        let found: Vec<_> = dialect(text)
            .into_iter()
            .map(|(line, word, _)| (line, word))
            .collect();
        assert_eq!(found, [(1, "told"), (8, "tells"), (8, "turned around")]);
    }
}
