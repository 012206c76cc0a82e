//! Patterns of names and paths, as in a shell.

use std::{fmt, str::FromStr};

use glob::{MatchOptions, Pattern, PatternError};

/// Longest pattern, in bytes; the longest file name that Linux takes has 255.
const MAX_LEN: usize = 1024;

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// A pattern as [`glob::Pattern`] has it: `*` matches any characters, `?` one, `[a-z]` and `[!a-z]` one of a set
/// or none of it, `[*]` a star itself. None of them matches `/`, but `**` as a whole component of a path.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob(Pattern);

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// It matches nothing.
    #[error("the pattern is empty: it matches no name")]
    Empty,
    /// It is longer than any path.
    #[error("the pattern is longer than {MAX_LEN} bytes")]
    TooLong,
    /// It cannot be read to its end.
    #[error("`{text}`: {reason}; write `[[]`, `[*]` or `[?]` for the character itself")]
    Syntax {
        /// The pattern.
        text: String,
        /// Why.
        reason: &'static str,
    },
}

impl Glob {
    /// Returns whether the pattern matches all of a text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.matches_with(text, OPTIONS)
    }

    /// Returns whether it is one of whole paths rather than of names.
    #[must_use]
    pub fn is_of_paths(&self) -> bool {
        self.0.as_str().contains('/')
    }

    /// Returns whether it matches every name, so that it distinguishes none.
    #[must_use]
    pub fn is_of_all(&self) -> bool {
        let text = self.0.as_str();
        // One `?` beside a star: no name is empty.
        text.contains('*') && matches!(text.replace('*', "").as_str(), "" | "?")
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
        let syntax = |PatternError { msg, .. }| GlobError::Syntax {
            text: text.to_owned(),
            reason: msg,
        };
        Pattern::new(text).map(Self).map_err(syntax)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Glob {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_match_as_those_of_a_shell_do() {
        for (pattern, matched, unmatched) in [
            ("blue", &["blue"][..], &["", "blu", "bluee", "Blue"][..]),
            ("*", &["", "blue", "ü", ".hidden"], &["/", "a/b"]),
            ("cni-*", &["cni-", "cni-1234"], &["cni", "xcni-1"]),
            ("web?", &["web1", "webü"], &["web", "web12", "web/"]),
            ("[!a-c]x", &["dx", "]x"], &["ax", "/x"]),
            ("[*]", &["*"], &["a", ""]),
            ("/run/netns/*", &["/run/netns/a"], &["/run/netns/a/b", "a"]),
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
            ("[ab", "write `[[]`"),
            ("a**b", "single path component"),
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

    /// A container may have chosen the path of a file that its netns is bound to.
    #[test]
    fn a_pattern_of_many_stars_ends_soon_on_a_path_that_almost_matches() {
        let started = std::time::Instant::now();
        let pattern = glob(&"*a".repeat(64));
        assert!(!pattern.matches(&("a".repeat(4_000) + "b")));
        assert!(pattern.matches(&"a".repeat(4_000)));
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }
}
