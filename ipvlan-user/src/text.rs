//! Escapes untrusted text for display: on a terminal, in a log, in a table.
//!
//! Names of links and files, status documents of agents and the contents of configuration files are
//! arbitrary bytes. A terminal interprets control characters, and reorders a line at bidirectional format
//! characters. [`escaped`] displays one value unambiguously; [`printable`] and [`printable_lines`] are for
//! text that already contains escaped values.

use std::{
    fmt::{self, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

/// Characters without a glyph that Unicode classifies as letters or symbols: two names that differ only in
/// one of them look the same.
const BLANK: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];

/// Returns a view of these bytes that displays printable characters as they are, a backslash as `\\`,
/// other characters as `\u{…}` with their code point in hexadecimal, and bytes that are not UTF-8 as
/// `\x…` with two hexadecimal digits. No two inputs are displayed alike.
#[must_use]
pub const fn escaped(bytes: &[u8]) -> Escaped<'_> {
    Escaped {
        bytes,
        backslash: Backslash::Doubled,
        newline: false,
    }
}

/// Returns the [`escaped`] view of the first `longest` bytes, or up to three less so as not to split a character,
/// with `…` if there are more.
#[must_use]
pub fn escaped_start(bytes: &[u8], longest: usize) -> String {
    if bytes.len() <= longest {
        return escaped(bytes).to_string();
    }
    let is_boundary = |&end: &usize| bytes[end] & 0xc0 != 0x80;
    let end = (longest.saturating_sub(3)..=longest)
        .rev()
        .find(is_boundary)
        .unwrap_or(longest);
    format!("{}…", escaped(&bytes[..end]))
}

/// Returns an error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Returns the [`escaped`] view of a path.
#[must_use]
pub fn escaped_path(path: &Path) -> Escaped<'_> {
    escaped(path.as_os_str().as_bytes())
}

/// Returns a view of this text that escapes everything that [`escaped`] does except backslashes, so values
/// in it that are escaped already stay as they are. Line feeds are escaped: the view has one line.
#[must_use]
pub const fn printable(text: &str) -> Escaped<'_> {
    Escaped {
        bytes: text.as_bytes(),
        backslash: Backslash::Kept,
        newline: false,
    }
}

/// Returns the [`printable`] view of a text with several lines: line feeds stay.
#[must_use]
pub const fn printable_lines(text: &str) -> Escaped<'_> {
    Escaped {
        bytes: text.as_bytes(),
        backslash: Backslash::Kept,
        newline: true,
    }
}

/// Returns the [`printable`] view of the first characters of a text, with `…` if there are more.
#[must_use]
pub fn printable_start(text: &str, longest: usize) -> String {
    let mut ends = text.char_indices().map(|(at, _)| at).skip(longest);
    match ends.next() {
        Some(end) => format!("{}…", printable(&text[..end])),
        None => printable(text).to_string(),
    }
}

/// Returns a number and a noun, which has this plural: `1 address`, `2 addresses`.
#[must_use]
pub fn counted(number: usize, singular: &str, plural: &str) -> String {
    let noun = if number == 1 { singular } else { plural };
    format!("{number} {noun}")
}

/// Returns the short name of a network namespace, as `status` and the log show it: the last part of its first name,
/// a process that lives in it, or its nsid; `(own)` for the agent's own, which has no nsid.
#[must_use]
pub fn netns_label(names: &[String], pid: Option<i32>, nsid: Option<i32>) -> String {
    match (names.first(), pid, nsid) {
        (_, _, None) => "(own)".to_owned(),
        (Some(name), ..) => name.rsplit('/').next().unwrap_or(name).to_owned(),
        (None, Some(pid), _) => format!("pid {pid}"),
        (None, None, Some(nsid)) => format!("nsid {nsid}"),
    }
}

/// A view of bytes whose `Display` has no control characters, no format characters and valid UTF-8 only.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a> {
    bytes: &'a [u8],
    backslash: Backslash,
    /// Whether a line feed stays.
    newline: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backslash {
    Doubled,
    Kept,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' if self.backslash == Backslash::Doubled => f.write_str(r"\\")?,
                    '\n' if self.newline => f.write_char('\n')?,
                    shown if is_printable(shown) => f.write_char(shown)?,
                    other => write!(f, "\\u{{{:x}}}", u32::from(other))?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Returns whether a terminal displays this character as one glyph in its place. `char::escape_debug` leaves
/// exactly these as they are, but for the backslash and the quotes.
fn is_printable(character: char) -> bool {
    match character {
        '\\' | '"' | '\'' => true,
        _ => character.escape_debug().len() == 1 && !BLANK.contains(&character),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the bytes that [`escaped`] was given.
    fn unescaped(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            let Some(escape) = (character == '\\').then(|| rest.chars().next().unwrap()) else {
                bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            };
            rest = &rest[1..];
            match escape {
                '\\' => bytes.push(b'\\'),
                'x' => {
                    bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                    rest = &rest[2..];
                }
                'u' => {
                    let (code, behind) = rest[1..].split_once('}').unwrap();
                    let code = u32::from_str_radix(code, 16).unwrap();
                    let character = char::from_u32(code).unwrap();
                    bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = behind;
                }
                other => panic!("\\{other} in {text}"),
            }
        }
        bytes
    }

    #[test]
    fn control_and_format_characters_are_escaped_and_printable_ones_are_not() {
        for (bytes, shown) in [
            (&b""[..], ""),
            (b"eth0.100", "eth0.100"),
            (
                "ünïcode-日本語 'a' \"b\"".as_bytes(),
                "ünïcode-日本語 'a' \"b\"",
            ),
            (b"\x1b[31m\x1b]0;x\x07", r"\u{1b}[31m\u{1b}]0;x\u{7}"),
            (b"a\nb\tc\rd\0", r"a\u{a}b\u{9}c\u{d}d\u{0}"),
            (b"\x7f", r"\u{7f}"),
            // C1 as UTF-8, and as a byte, which some terminals obey as well.
            ("\u{9b}31m".as_bytes(), r"\u{9b}31m"),
            (b"\x9b31m\xff", r"\x9b31m\xff"),
            // Bidirectional overrides and isolates, zero width, soft hyphen, byte order mark, tags.
            (
                "\u{202e}\u{2066}\u{200f}\u{61c}\u{200b}\u{ad}\u{feff}\u{e0041}".as_bytes(),
                r"\u{202e}\u{2066}\u{200f}\u{61c}\u{200b}\u{ad}\u{feff}\u{e0041}",
            ),
            // Line and paragraph separators, spaces other than the usual one, blanks, private use.
            (
                "\u{2028}\u{2029}\u{a0}\u{3000}\u{3164}\u{2800}\u{e000}".as_bytes(),
                r"\u{2028}\u{2029}\u{a0}\u{3000}\u{3164}\u{2800}\u{e000}",
            ),
            // Combining characters, which change the glyph before them.
            ("a\u{301}\u{fe0f}".as_bytes(), r"a\u{301}\u{fe0f}"),
            // A name that contains an escape is a different name.
            (br"\u{1b}", r"\\u{1b}"),
            (br"\xff", r"\\xff"),
            // A sequence that ends too early, a surrogate, an overlong NUL.
            (b"a\xe2\x82", r"a\xe2\x82"),
            (b"\xed\xa0\x80", r"\xed\xa0\x80"),
            (b"\xc0\x80", r"\xc0\x80"),
        ] {
            assert_eq!(escaped(bytes).to_string(), shown);
        }
    }

    #[test]
    fn values_that_are_escaped_already_are_not_escaped_twice() {
        let name = escaped(b"\x1b[31m\\").to_string();
        assert_eq!(printable(&name).to_string(), name);
        assert_eq!(printable("a\nb\x1b").to_string(), r"a\u{a}b\u{1b}");
        assert_eq!(printable_lines("a\nb\x1b").to_string(), "a\nb\\u{1b}");
        assert_eq!(escaped_path(Path::new("/a\n")).to_string(), r"/a\u{a}");
        assert_eq!(printable_start("a\u{1b}ü", 3), r"a\u{1b}ü");
        assert_eq!(printable_start("a\u{1b}üx", 3), r"a\u{1b}ü…");
    }

    #[test]
    fn the_start_of_long_bytes_is_escaped_and_ends_with_an_ellipsis() {
        for (bytes, longest, shown) in [
            (&b"web"[..], 3, "web"),
            (b"web1", 3, "web…"),
            (b"\x1b\x1b", 1, r"\u{1b}…"),
            ("aü".as_bytes(), 2, "a…"),
            ("日本".as_bytes(), 4, "日…"),
            (b"\x80\x80\x80\x80\x80\x80", 4, r"\x80\x80\x80\x80…"),
            (b"a", 0, "…"),
        ] {
            assert_eq!(escaped_start(bytes, longest), shown);
        }
    }

    fn is_safe(text: &str) -> bool {
        text.chars().all(|character| !character.is_control())
            && !text.contains(['\u{200e}', '\u{202e}', '\u{2028}', '\u{2069}', '\u{feff}'])
    }

    proptest! {
        #[test]
        fn any_bytes_are_displayed_without_control_characters_and_can_be_read_back(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..64),
                prop::collection::vec(0_u8..0x20, 0..16),
                ".{0,32}".prop_map(String::into_bytes),
                r"(\\|\\x[0-9a-f]{2}|\\u\{[0-9a-f]{1,4}\}|\PC){0,16}".prop_map(String::into_bytes),
            ],
        ) {
            let shown = escaped(&bytes).to_string();
            prop_assert!(is_safe(&shown), "{:?}", shown);
            prop_assert_eq!(unescaped(&shown), bytes);
            prop_assert_eq!(printable(&shown).to_string(), shown);
        }

        #[test]
        fn line_feeds_of_a_text_with_lines_are_all_that_stays(text in any::<String>()) {
            let shown = printable_lines(&text).to_string();
            prop_assert!(shown.split('\n').all(is_safe), "{:?}", shown);
            prop_assert_eq!(shown.matches('\n').count(), text.matches('\n').count());
            prop_assert!(is_safe(&printable(&text).to_string()));
        }
    }
}
