//! Names of links: bytes that the owner of a netns chooses.

use std::{
    ffi::OsStr,
    fmt,
    hash::{Hash, Hasher},
    os::unix::ffi::OsStrExt as _,
};

use crate::text::escaped;

/// The name of a link (`IFLA_IFNAME`).
///
/// The kernel accepts every byte but NUL, `/`, `:` and white space in it (`dev_valid_name`). Two names are
/// equal if their bytes are. `Display` and [`LinkName::as_str`] escape what is not printable.
#[derive(Clone, Default)]
pub struct LinkName {
    /// What is displayed; equal to the name itself if `raw` is `None`.
    text: Box<str>,
    /// The bytes of a name that is displayed with escapes.
    raw: Option<Box<[u8]>>,
}

impl LinkName {
    /// Takes the bytes before the first NUL.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let end = bytes.iter().position(|&byte| byte == 0);
        let bytes = &bytes[..end.unwrap_or(bytes.len())];
        let text: Box<str> = escaped(bytes).to_string().into();
        let raw = (text.as_bytes() != bytes).then(|| bytes.into());
        Self { text, raw }
    }

    /// Returns the name as the kernel has it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }

    /// Returns the name as it is displayed. A name that is displayed with escapes is no name of a link: a
    /// request to the kernel with it fails.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the name as a component of a path below `/proc/sys/net`.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(self.as_bytes())
    }
}

impl From<&str> for LinkName {
    fn from(name: &str) -> Self {
        Self::from_bytes(name.as_bytes())
    }
}

impl From<String> for LinkName {
    fn from(name: String) -> Self {
        Self::from_bytes(name.as_bytes())
    }
}

impl PartialEq for LinkName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for LinkName {}

impl PartialEq<str> for LinkName {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for LinkName {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl PartialOrd for LinkName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LinkName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for LinkName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_that_is_not_printable_is_displayed_with_escapes_and_keeps_its_bytes() {
        for (bytes, shown) in [
            (&b"eth0"[..], "eth0"),
            ("prüf0".as_bytes(), "prüf0"),
            (b"\xff", r"\xff"),
            (b"\x1b[31m", r"\u{1b}[31m"),
            ("\u{202e}0hte".as_bytes(), r"\u{202e}0hte"),
            (br"\xff", r"\\xff"),
        ] {
            let name = LinkName::from_bytes(bytes);
            assert_eq!(name.as_bytes(), bytes);
            assert_eq!((name.to_string(), name.as_str()), (shown.to_owned(), shown));
            assert_eq!(format!("{name:?}"), format!("`{shown}`"));
        }
    }

    #[test]
    fn a_name_ends_at_the_first_nul() {
        assert_eq!(LinkName::from_bytes(b"eth0\0\0x"), "eth0");
        assert_eq!(LinkName::from_bytes(b"eth0"), "eth0");
        assert_eq!(LinkName::from_bytes(b"\0"), LinkName::default());
    }

    #[test]
    fn a_name_is_not_equal_to_the_text_that_displays_another() {
        let name = LinkName::from_bytes(b"\xff");
        assert_ne!(name, r"\xff");
        assert_ne!(name, LinkName::from(r"\xff"));
        assert_ne!(name.as_str(), LinkName::from(r"\xff").as_str());
    }

    proptest! {
        #[test]
        fn names_are_equal_and_ordered_as_their_bytes_are(
            first in "[^\0]{0,6}|\\\\x[0-9a-f]{2}",
            second: Vec<u8>,
        ) {
            let names = [LinkName::from(first.as_str()), LinkName::from_bytes(&second)];
            let end = second.iter().position(|&byte| byte == 0).unwrap_or(second.len());
            let bytes = [first.as_bytes(), &second[..end]];
            prop_assert_eq!(names[0].cmp(&names[1]), bytes[0].cmp(bytes[1]));
            prop_assert_eq!(names[0] == names[1], bytes[0] == bytes[1]);
            prop_assert_eq!(names[0].as_str() == names[1].as_str(), bytes[0] == bytes[1]);
        }
    }
}
