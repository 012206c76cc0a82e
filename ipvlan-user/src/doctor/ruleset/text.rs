//! A rule as people read it.

use serde_json::Value;

use super::Rule;

/// Returns the words of a rule that decide, for people.
pub(super) fn text_of(rule: &Rule) -> String {
    let words = rule.expr.iter().filter_map(Value::as_object).flatten();
    let words: Vec<String> = words
        .filter_map(|(kind, value)| match kind.as_str() {
            "match" => {
                let left = &value["left"];
                let meta = left["meta"]["key"].as_str().map(str::to_owned);
                let ct = left["ct"]["key"].as_str().map(|key| format!("ct {key}"));
                let field = &left["payload"];
                let payload = field["protocol"].as_str().zip(field["field"].as_str());
                let payload = payload.map(|(protocol, field)| format!("{protocol} {field}"));
                let op = if value["op"] == "!=" { "!= " } else { "" };
                let right = match &value["right"] {
                    Value::String(text) => text.clone(),
                    Value::Object(_) | Value::Array(_) => shown(&value["right"]),
                    other => other.to_string(),
                };
                let left = meta.or(ct).or(payload)?;
                Some(format!("{left} {op}{right}"))
            }
            "xt" => value["name"].as_str().map(str::to_owned),
            "drop" | "reject" | "masquerade" | "snat" => Some(kind.clone()),
            _ => None,
        })
        .collect();
    words.join(" ")
}

fn shown(value: &Value) -> String {
    let prefix = &value["prefix"];
    match (prefix["addr"].as_str(), prefix["len"].as_u64()) {
        (Some(address), Some(length)) => format!("{address}/{length}"),
        _ => "…".to_owned(),
    }
}
