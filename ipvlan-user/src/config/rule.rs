//! `[[rule]]` of a configuration file.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::value::{Bounded, Count};
use crate::model::{Glob, Prefix, Rule, RuleError};

/// The keys of a rule in a file, and `place`, which is written alone. Keys that have their defaults are not written.
#[derive(Deserialize, Serialize)]
#[serde(remote = "Rule", deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    #[serde(skip_deserializing)]
    place: String,
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Vec::is_empty"
    )]
    netns: Vec<Glob>,
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Vec::is_empty"
    )]
    name: Vec<Glob>,
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Vec::is_empty"
    )]
    parent: Vec<Glob>,
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Vec::is_empty"
    )]
    allow: Vec<Prefix>,
    #[serde(
        default,
        deserialize_with = "some",
        skip_serializing_if = "Vec::is_empty"
    )]
    deny: Vec<Prefix>,
    #[serde(
        default,
        deserialize_with = "count",
        skip_serializing_if = "Option::is_none"
    )]
    addresses: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    next_hop: bool,
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    answer: bool,
}

/// A rule that is read or written by its [`Keys`].
#[derive(Deserialize)]
struct Read(#[serde(with = "Keys")] Rule);

/// As [`Read`].
struct Shown<'a>(&'a Rule);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Keys::serialize(self.0, serializer)
    }
}

/// Reads rules, which are not checked as wholes.
pub(super) fn list<'de, D>(deserializer: D) -> Result<Vec<Rule>, D::Error>
where
    D: Deserializer<'de>,
{
    let rules = Vec::<Read>::deserialize(deserializer)?;
    Ok(rules.into_iter().map(|Read(rule)| rule).collect())
}

/// Writes rules: the keys that differ from their defaults, and `place`.
pub(super) fn show<S: Serializer>(rules: &[Rule], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rules.iter().map(Shown))
}

/// Gives the rules of a file their places, and checks each as a whole. Returns the first error with the key and the
/// byte that it is at.
pub(super) fn locate(
    rules: &mut [Rule],
    text: &str,
    place: impl Fn(usize) -> String,
) -> Result<(), (RuleError, usize)> {
    if rules.is_empty() {
        return Ok(());
    }
    let table = DeTable::parse(text).ok();
    let items = table.as_ref().and_then(|table| table.get_ref().get("rule"));
    let items = items.and_then(|items| items.get_ref().as_array());
    for (index, rule) in rules.iter_mut().enumerate() {
        let item = items.and_then(|items| items.get(index));
        let start = |value: Option<&Spanned<DeValue<'_>>>| value.map_or(0, |it| it.span().start);
        rule.place = place(start(item));
        rule.check().map_err(|error| {
            let value = item.and_then(|item| item.get_ref().get(error.key()));
            (error, start(value.or(item)))
        })?;
    }
    Ok(())
}

/// Reads a list that is not empty: an empty one could be meant to match or to allow nothing, or all.
fn some<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let values = Vec::deserialize(deserializer)?;
    if values.is_empty() {
        return Err(D::Error::custom("the list is empty: leave the key out"));
    }
    Ok(values)
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let count = Option::<Count>::deserialize(deserializer)?;
    Ok(count.map(Bounded::get))
}

const fn yes() -> bool {
    true
}
