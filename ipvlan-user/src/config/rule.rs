//! `[[rule]]` of a configuration file.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::value::{Bounded, Count};
use crate::model::{Glob, Prefix, Rule, RuleError};

/// The keys of a rule.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    #[serde(deserialize_with = "some")]
    netns: Vec<Glob>,
    #[serde(deserialize_with = "some")]
    name: Vec<Glob>,
    #[serde(deserialize_with = "some")]
    parent: Vec<Glob>,
    #[serde(deserialize_with = "some")]
    allow: Vec<Prefix>,
    #[serde(deserialize_with = "some")]
    deny: Vec<Prefix>,
    addresses: Option<Count>,
    next_hop: bool,
    answer: Option<bool>,
}

/// Reads rules, which are not checked as wholes.
pub(super) fn list<'de, D>(deserializer: D) -> Result<Vec<Rule>, D::Error>
where
    D: Deserializer<'de>,
{
    let rules = Vec::<Keys>::deserialize(deserializer)?;
    Ok(rules.into_iter().map(Rule::from).collect())
}

impl From<Keys> for Rule {
    fn from(keys: Keys) -> Self {
        let Keys {
            netns,
            name,
            parent,
            allow,
            deny,
            addresses,
            next_hop,
            answer,
        } = keys;
        Self {
            place: String::new(),
            netns,
            name,
            parent,
            allow,
            deny,
            addresses: addresses.map(Bounded::get),
            next_hop,
            answer: answer.unwrap_or(true),
        }
    }
}

/// A rule as a file has it, and its place.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown<'a> {
    place: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    netns: &'a [Glob],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    name: &'a [Glob],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    parent: &'a [Glob],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allow: &'a [Prefix],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    deny: &'a [Prefix],
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    next_hop: bool,
    /// `true` is the default.
    #[serde(skip_serializing_if = "Clone::clone")]
    answer: bool,
}

/// Writes rules: the keys that differ from their defaults, and `place`.
pub(super) fn show<S: Serializer>(rules: &[Rule], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rules.iter().map(|rule| {
        let Rule {
            place,
            netns,
            name,
            parent,
            allow,
            deny,
            addresses,
            next_hop,
            answer,
        } = rule;
        Shown {
            place,
            netns,
            name,
            parent,
            allow,
            deny,
            addresses: *addresses,
            next_hop: *next_hop,
            answer: *answer,
        }
    }))
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
