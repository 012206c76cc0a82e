//! Options of the commands that show something.

use std::{num::ParseIntError, str::FromStr, time::Duration};

use clap::{Args, ColorChoice, ValueEnum};

/// How a command shows something.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// Format of the output
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,

    /// Is the same as `-o json`
    #[arg(long, conflicts_with = "output")]
    pub json: bool,

    /// When to use colours; `auto`: on a terminal, unless `NO_COLOR` is set
    #[arg(long, value_name = "WHEN", default_value_t = ColorChoice::Auto, hide_possible_values = false)]
    pub color: ColorChoice,
}

impl OutputArgs {
    /// Returns the format.
    #[must_use]
    pub const fn format(self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// A format of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One JSON document per line
    Jsonl,
}

/// Which addresses are shown.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct FamilyArgs {
    /// Only IPv4 addresses
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// Only IPv6 addresses
    #[arg(short = '6', long)]
    pub ipv6: bool,
}

impl FamilyArgs {
    /// Returns whether an address is shown.
    #[must_use]
    pub fn has(self, address: &str) -> bool {
        match (self.ipv4, self.ipv6) {
            (true, _) => !address.contains(':'),
            (_, true) => address.contains(':'),
            _ => true,
        }
    }
}

/// A time of the command line: `500ms`, `30s`, `5m`, or seconds without a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// Error of a text that is no [`Span`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// There is no number before the unit.
    #[error("a time is a number with ms, s or m, for example 30s ({0})")]
    NotANumber(#[from] ParseIntError),
    /// The unit is another one.
    #[error("`{0}` is no unit of time: a time is a number with ms, s or m, for example 30s")]
    Unit(String),
    /// It is longer than a day, or nothing.
    #[error("a time exceeds 0 and is at most a day")]
    OutOfRange,
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let end = text.find(|it: char| !it.is_ascii_digit());
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let unit = match unit {
            "ms" => 1,
            "s" | "" => 1_000,
            "m" => 60_000,
            other => return Err(SpanError::Unit(other.to_owned())),
        };
        let number: u64 = number.parse()?;
        let milliseconds = number.checked_mul(unit).ok_or(SpanError::OutOfRange)?;
        match milliseconds {
            1..=86_400_000 => Ok(Self(Duration::from_millis(milliseconds))),
            _ => Err(SpanError::OutOfRange),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_has_a_number_a_unit_and_a_limit() {
        for (text, milliseconds) in [
            ("1ms", 1),
            ("30s", 30_000),
            ("7", 7_000),
            ("1440m", 86_400_000),
        ] {
            let span = Span(Duration::from_millis(milliseconds));
            assert_eq!(text.parse(), Ok(span), "{text}");
        }
        for text in [
            "",
            "s",
            "0",
            "-1s",
            "1441m",
            "1h",
            "1.5s",
            "99999999999999999999",
            "1 s",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
