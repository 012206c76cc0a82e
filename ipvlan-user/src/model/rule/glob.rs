//! Patterns of names and paths, as in a shell.

use std::{fmt, str::FromStr};

/// Longest pattern, in bytes; the longest file name that Linux takes has 255.
const MAX_LEN: usize = 1024;

/// A pattern as `glob(7)` has it: `*` matches any characters, `?` one, `[a-z]` and `[!a-z]` one of a set or none
/// of it, `\` takes the next character literally. None of them matches `/`.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Literal(char),
    Set {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// It matches nothing.
    #[error("the pattern is empty: it matches no name")]
    Empty,
    /// It is longer than any path.
    #[error("the pattern is longer than {MAX_LEN} bytes")]
    TooLong,
    /// A set has no end.
    #[error("`{text}`: `[` without `]`; write `\\[` for the character itself")]
    OpenSet {
        /// The pattern.
        text: String,
    },
    /// A range of a set ends before it begins.
    #[error("`{text}`: the range `{first}-{last}` is empty")]
    EmptyRange {
        /// The pattern.
        text: String,
        /// Its first character.
        first: char,
        /// Its last character.
        last: char,
    },
    /// There is nothing behind the last backslash.
    #[error("`{text}`: `\\` at the end; write `\\\\` for the character itself")]
    OpenEscape {
        /// The pattern.
        text: String,
    },
}

impl Glob {
    /// Returns whether the pattern matches all of a text.
    ///
    /// Takes at most as many steps as the product of both lengths: a star is tried again with one character
    /// more, and only the last one is.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut next = 0;
        // What follows the last star, and the text that it was tried at.
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let mut ahead = rest.clone();
            match (self.parts.get(next), ahead.next()) {
                (Some(Part::Any), _) => {
                    next += 1;
                    retry = Some((next, rest.clone()));
                    continue;
                }
                (Some(part), Some(character)) if part.matches(character) => {
                    next += 1;
                    rest = ahead;
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            let Some((behind, tried)) = &mut retry else {
                return false;
            };
            // The star takes one character more.
            if tried.next().is_none_or(|character| character == '/') {
                return false;
            }
            next = *behind;
            rest = tried.clone();
        }
    }

    /// Returns whether it is one of whole paths rather than of names.
    #[must_use]
    pub fn is_of_paths(&self) -> bool {
        self.parts.contains(&Part::Literal('/'))
    }

    /// Returns whether it matches every name, so that it distinguishes none.
    #[must_use]
    pub fn is_of_all(&self) -> bool {
        let mut ones = self.parts.iter().filter(|&part| *part != Part::Any);
        match (ones.next(), self.parts.len()) {
            (None, _) => true,
            // `?*`: no name is empty.
            (Some(Part::One), 2..) => ones.next().is_none(),
            _ => false,
        }
    }
}

impl Part {
    fn matches(&self, character: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == character,
            Self::Any => false,
            Self::One => character != '/',
            Self::Set { is_negated, ranges } => {
                let is_in = |&(first, last): &(char, char)| (first..=last).contains(&character);
                character != '/' && ranges.iter().any(is_in) != *is_negated
            }
        }
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(GlobError::TooLong);
        }
        let open_escape = || GlobError::OpenEscape {
            text: text.to_owned(),
        };
        let mut characters = text.chars();
        let mut parts = Vec::new();
        while let Some(character) = characters.next() {
            parts.push(match character {
                '*' => Part::Any,
                '?' => Part::One,
                '[' => set(&mut characters, text)?,
                '\\' => Part::Literal(characters.next().ok_or_else(open_escape)?),
                literal => Part::Literal(literal),
            });
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

/// Reads a set behind its bracket. A `]` that is the first character of it is one of the set.
fn set(characters: &mut std::str::Chars<'_>, text: &str) -> Result<Part, GlobError> {
    let open = || GlobError::OpenSet {
        text: text.to_owned(),
    };
    let is_negated = characters.as_str().starts_with(['!', '^']);
    if is_negated {
        characters.next();
    }
    let mut ranges = Vec::new();
    loop {
        let mut first = characters.next().ok_or_else(open)?;
        if first == ']' && !ranges.is_empty() {
            return Ok(Part::Set { is_negated, ranges });
        }
        if first == '\\' {
            first = characters.next().ok_or_else(open)?;
        }
        let mut last = first;
        let mut ahead = characters.clone();
        if ahead.next() == Some('-') && ahead.next().is_some_and(|behind| behind != ']') {
            characters.next();
            last = characters.next().ok_or_else(open)?;
            if last == '\\' {
                last = characters.next().ok_or_else(open)?;
            }
        }
        if last < first {
            return Err(GlobError::EmptyRange {
                text: text.to_owned(),
                first,
                last,
            });
        }
        ranges.push((first, last));
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(text: &str) -> Glob {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_match_as_those_of_a_shell_do() {
        for (pattern, matched, unmatched) in [
            ("blue", &["blue"][..], &["", "blu", "bluee", "Blue"][..]),
            ("*", &["", "blue", "ü"], &["/", "a/b"]),
            ("cni-*", &["cni-", "cni-1234"], &["cni", "xcni-1"]),
            ("*-db", &["-db", "a-db", "a-db-db"], &["a-dbx", "a/-db"]),
            ("a*b*c", &["abc", "axbxbxc", "aabbcc"], &["ab", "acb"]),
            ("web?", &["web1", "webü"], &["web", "web12", "web/"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "x", "/x"]),
            ("[!a-c]x", &["dx", "]x"], &["ax", "/x"]),
            ("[^a]", &["b"], &["a", "/"]),
            ("[]a]", &["]", "a"], &["b"]),
            ("[!]a]", &["b"], &["]", "a"]),
            ("[a-]", &["a", "-"], &["b"]),
            (r"[\]]", &["]"], &[r"\"]),
            (r"[+-\]]", &[",", "["], &["_"]),
            (r"\*", &["*"], &["a", ""]),
            ("a]", &["a]"], &["a"]),
            ("/run/netns/*", &["/run/netns/a"], &["/run/netns/a/b", "a"]),
            (
                "/run/*/netns/?",
                &["/run/docker/netns/1"],
                &["/run/netns/1"],
            ),
        ] {
            let glob = glob(pattern);
            for text in matched {
                assert!(glob.matches(text), "{pattern} {text:?}");
            }
            for text in unmatched {
                assert!(!glob.matches(text), "{pattern} {text:?}");
            }
        }
    }

    #[test]
    fn a_text_that_is_no_pattern_is_refused_with_what_to_write() {
        for (text, message) in [
            ("", "matches no name"),
            ("[ab", r"write `\[`"),
            ("[]", r"write `\[`"),
            ("a[!", r"write `\[`"),
            ("[a-", r"write `\[`"),
            (r"[a-\", r"write `\[`"),
            ("[b-a]", "range `b-a` is empty"),
            (r"ab\", r"write `\\`"),
            (&"a".repeat(1025), "longer than 1024"),
        ] {
            let error = text.parse::<Glob>().unwrap_err().to_string();
            assert!(error.contains(message), "{text:?}: {error}");
        }
    }

    #[test]
    fn patterns_of_all_names_and_of_paths_are_known() {
        for (text, is_of_all, is_of_paths) in [
            ("*", true, false),
            ("**", true, false),
            ("?*", true, false),
            ("*?", true, false),
            ("?", false, false),
            ("a*", false, false),
            ("??*", false, false),
            ("/run/netns/*", false, true),
        ] {
            let glob = glob(text);
            assert_eq!(
                (glob.is_of_all(), glob.is_of_paths()),
                (is_of_all, is_of_paths),
                "{text}"
            );
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_soon_on_a_text_that_almost_matches() {
        let started = std::time::Instant::now();
        let pattern = glob(&"*a".repeat(500));
        assert!(!pattern.matches(&("a".repeat(5_000) + "b")));
        assert!(pattern.matches(&"a".repeat(5_000)));
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }

    /// The definition, which takes exponential time.
    fn matches_by_definition(parts: &[Part], text: &[char]) -> bool {
        match (parts.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((Part::Any, rest)), None) => matches_by_definition(rest, text),
            (Some((Part::Any, rest)), Some((first, behind))) => {
                matches_by_definition(rest, text)
                    || (*first != '/' && matches_by_definition(parts, behind))
            }
            (Some((part, rest)), Some((first, behind))) => {
                part.matches(*first) && matches_by_definition(rest, behind)
            }
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_pattern_matches_what_its_definition_says(
            pattern in r"[ab/*?]{1,8}",
            text in "[ab/]{0,8}",
        ) {
            let glob = glob(&pattern);
            let characters: Vec<char> = text.chars().collect();
            prop_assert_eq!(glob.matches(&text), matches_by_definition(&glob.parts, &characters));
        }

        #[test]
        fn any_text_is_a_pattern_or_refused(pattern in r"\PC{0,16}|[\[\]!^a\\*?/-]{0,10}", text in r"\PC{0,16}") {
            if let Ok(glob) = pattern.parse::<Glob>() {
                let _: bool = glob.matches(&text);
                prop_assert_eq!(glob.to_string(), pattern);
            }
        }

        #[test]
        fn a_text_matches_itself_where_every_character_is_taken_literally(text in r"\PC{1,16}") {
            let pattern: String = text.chars().flat_map(|character| ['\\', character]).collect();
            prop_assert!(glob(&pattern).matches(&text));
        }
    }
}
