//! Values with a limited range: names, numbers, and the words of a file.

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
/// What `announce-rate`, `netns-announcements` and `netns-events` can be, per second.
pub const RATE: RangeInclusive<u32> = 1..=100_000;
/// What `netns-time` can be, in percent.
pub const PERCENT: RangeInclusive<u32> = 1..=100;
/// What `audit` can be, in seconds.
pub const AUDIT: RangeInclusive<u64> = 1..=86_400;
/// What `stale-after` can be, in seconds, if it is not 0. A sync is made every third of it, which takes half a
/// second with many addresses on a busy machine.
pub const STALE_AFTER: RangeInclusive<u64> = 2..=31_536_000;

/// A name that an interface can have (`dev_valid_name`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceName(String);

/// Why a text is not the name of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty, `.` or `..`.
    #[error("not an interface name")]
    NotAName,
    /// It exceeds `IFNAMSIZ`.
    #[error("longer than {MAX_NAME} bytes")]
    TooLong,
    /// It has a character that the kernel refuses.
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

/// Reads one of the words of an option of the command line.
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

/// Reads a list of values that are written as text.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let texts = Vec::<Text<T>>::deserialize(deserializer)?;
    Ok(Some(texts.into_iter().map(|text| text.0).collect()))
}

/// A value that is written as text.
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

pub(super) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    within(deserializer, &RATE)
}

pub(super) fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    within(deserializer, &PERCENT)
}

pub(super) fn audit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    within(deserializer, &AUDIT)
}

pub(super) fn stale_after<'de, D>(deserializer: D) -> Result<Option<u64>, D::Error>
where
    D: Deserializer<'de>,
{
    let StaleAfter(seconds) =
        StaleAfter::try_from(i64::deserialize(deserializer)?).map_err(D::Error::custom)?;
    Ok(Some(seconds))
}

/// Seconds that programs answer without a sync; 0 without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleAfter(pub u64);

/// Why a text or number is no such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaleAfterError {
    /// It is no number of seconds.
    #[error("not a whole number of seconds")]
    NotANumber,
    /// A running agent could not sync in time.
    #[error(
        "{0} is too short for an agent to sync in time: the smallest value is {least}, or 0 without limit",
        least = STALE_AFTER.start()
    )]
    TooShort(i64),
    /// Longer than a year.
    #[error("{0} is too long: the largest value is {most}, or 0 without limit", most = STALE_AFTER.end())]
    TooLong(i64),
}

impl TryFrom<i64> for StaleAfter {
    type Error = StaleAfterError;

    fn try_from(number: i64) -> Result<Self, StaleAfterError> {
        match u64::try_from(number) {
            Ok(seconds) if seconds == 0 || STALE_AFTER.contains(&seconds) => Ok(Self(seconds)),
            Ok(seconds) if seconds > *STALE_AFTER.end() => Err(StaleAfterError::TooLong(number)),
            _ => Err(StaleAfterError::TooShort(number)),
        }
    }
}

impl FromStr for StaleAfter {
    type Err = StaleAfterError;

    fn from_str(text: &str) -> Result<Self, StaleAfterError> {
        let number: i64 = text.parse().map_err(|_| StaleAfterError::NotANumber)?;
        number.try_into()
    }
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

    #[test]
    fn stale_after_is_never_or_long_enough() {
        for (text, expected) in [
            ("0", Ok(StaleAfter(0))),
            ("2", Ok(StaleAfter(2))),
            ("31536000", Ok(StaleAfter(31_536_000))),
            ("1", Err(StaleAfterError::TooShort(1))),
            ("-5", Err(StaleAfterError::TooShort(-5))),
            ("31536001", Err(StaleAfterError::TooLong(31_536_001))),
            ("10s", Err(StaleAfterError::NotANumber)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }
}
