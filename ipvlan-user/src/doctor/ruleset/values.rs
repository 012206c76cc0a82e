//! Values on the right of an expression.

use std::net::IpAddr;

use serde_json::Value;

use super::super::node::is_in;

/// Returns whether one of the values of a set, or the value itself, is meant.
pub(super) fn any_of(right: &Value, is: impl Fn(&Value) -> Option<bool> + Copy) -> Option<bool> {
    let elements = match right {
        Value::Array(elements) => elements,
        Value::Object(object) => match object.get("set") {
            Some(Value::Array(elements)) => elements,
            _ => return is(right),
        },
        Value::Null => return None,
        value => return is(value),
    };
    let mut known = Some(false);
    for element in elements {
        let element = match element.get("elem") {
            Some(inner) => &inner["val"],
            None => element,
        };
        match is(element) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => known = None,
        }
    }
    known
}

/// Returns whether an interface has this name, which can end in `*`.
pub(super) fn is_named(name: &str, value: &Value) -> Option<bool> {
    let wanted = value.as_str()?;
    Some(match wanted.strip_suffix('*') {
        Some(start) => name.starts_with(start) && !name.is_empty(),
        None => name == wanted,
    })
}

/// Returns whether an address is this one, or in this prefix or range.
pub(super) fn contains(value: &Value, address: IpAddr) -> Option<bool> {
    let parsed = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    if let Some(prefix) = value.get("prefix") {
        let length = u8::try_from(prefix["len"].as_u64()?).ok()?;
        return Some(is_in(address, (parsed(&prefix["addr"])?, length)));
    }
    if let Some(range) = value.get("range") {
        let (first, last) = (parsed(&range[0])?, parsed(&range[1])?);
        return Some(first <= address && address <= last);
    }
    Some(parsed(value)? == address)
}
