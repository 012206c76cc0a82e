//! Values that are not right whatever they are: names and numbers, and how a file spells words.

use std::{fmt, marker::PhantomData, ops::RangeInclusive, str::FromStr};

use clap::ValueEnum;
use serde::{
    Deserialize, Deserializer,
    de::{self, Error as _, Visitor},
};

use crate::attach::XdpMode;

/// Longest interface name (`IFNAMSIZ` less its NUL).
const MAX_NAME: usize = 15;

/// What `max-addresses` and `max-children` can be.
pub const ROOM: RangeInclusive<u32> = 1..=1_048_576;
/// What `audit` can be, in seconds.
pub const AUDIT: RangeInclusive<u64> = 1..=86_400;
/// What `stale-after` can be, in seconds.
pub const STALE_AFTER: RangeInclusive<u64> = 0..=31_536_000;

/// A name that an interface can have (`dev_valid_name`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceName(String);

/// Why a text is not the name of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, `.` or `..`.
    #[error("not an interface name")]
    NotAName,
    /// The kernel has no room for it.
    #[error("longer than {MAX_NAME} bytes")]
    TooLong,
    /// A character that the kernel does not take.
    #[error("{0:?} cannot be in an interface name")]
    Character(char),
}

impl FromStr for InterfaceName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        if name.is_empty() || name == "." || name == ".." {
            return Err(NameError::NotAName);
        }
        if let Some(character) = name.chars().find(|character| {
            matches!(character, '/' | ':' | '\0') || character.is_ascii_whitespace()
        }) {
            return Err(NameError::Character(character));
        }
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        Ok(Self(name.to_owned()))
    }
}

impl From<InterfaceName> for String {
    fn from(name: InterfaceName) -> Self {
        name.0
    }
}

/// Whether and where the XDP program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum XdpChoice {
    /// No XDP program.
    #[default]
    Off,
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

impl From<XdpChoice> for Option<XdpMode> {
    fn from(choice: XdpChoice) -> Self {
        match choice {
            XdpChoice::Off => None,
            XdpChoice::Native => Some(XdpMode::Native),
            XdpChoice::Generic => Some(XdpMode::Generic),
        }
    }
}

/// One of the words that the command line takes, too.
pub(super) fn word<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: ValueEnum,
{
    let text = String::deserialize(deserializer)?;
    T::from_str(&text, false).map(Some).map_err(|_| {
        let possible = T::value_variants().iter().filter_map(T::to_possible_value);
        let names: Vec<String> = possible.map(|of| format!("`{}`", of.get_name())).collect();
        D::Error::custom(format!("`{text}` is none of {}", names.join(", ")))
    })
}

/// A list of what is written as text.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let texts = Vec::<Text<T>>::deserialize(deserializer)?;
    Ok(Some(texts.into_iter().map(|text| text.0).collect()))
}

/// What is written as text.
struct Text<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parse(PhantomData))
    }
}

/// Parses while the text is visited: an error of the visit is one of this place in the file.
struct Parse<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parse<T> {
    type Value = Text<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<T>, E> {
        text.parse().map(Text).map_err(E::custom)
    }
}

pub(super) fn room<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    within(deserializer, &ROOM)
}

pub(super) fn audit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    within(deserializer, &AUDIT)
}

pub(super) fn stale_after<'de, D>(deserializer: D) -> Result<Option<u64>, D::Error>
where
    D: Deserializer<'de>,
{
    within(deserializer, &STALE_AFTER)
}

fn within<'de, D, T>(deserializer: D, range: &RangeInclusive<T>) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64> + PartialOrd + fmt::Display,
{
    // TOML has no other numbers.
    let number = i64::deserialize(deserializer)?;
    T::try_from(number)
        .ok()
        .filter(|number| range.contains(number))
        .map(Some)
        .ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            D::Error::custom(format!("{number} is not in {least}..={most}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_refuses_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a:1",
            "a b",
            "a\0",
            "sixteen-letters!",
            "/sys/class/net/eth0",
        ] {
            assert!(name.parse::<InterfaceName>().is_err(), "{name:?}");
        }
        for name in ["ens34", "eth0.100", "fifteen-letters", "ü"] {
            let parsed: InterfaceName = name.parse().unwrap();
            assert_eq!(String::from(parsed), name);
        }
    }
}
