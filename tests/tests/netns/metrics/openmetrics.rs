//! A strict reader of the `OpenMetrics` text format, as far as this project writes it: counters, gauges and infos.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a series.
pub(super) type Labels = BTreeMap<String, String>;

/// A metric family.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) help: String,
    pub(super) unit: Option<String>,
    /// Each series with its value.
    pub(super) series: Vec<(Labels, f64)>,
}

/// Families by the name of their series.
#[derive(Debug, Default)]
pub(super) struct Exposition(pub(super) BTreeMap<String, Family>);

impl Exposition {
    /// The value of the only series of a metric that has these labels.
    #[track_caller]
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let is_it = |of: &Labels| {
            labels
                .iter()
                .all(|(label, value)| of.get(*label).is_some_and(|of| of == value))
        };
        let series = &self.0[name].series;
        let found: Vec<f64> = series
            .iter()
            .filter(|(of, _)| is_it(of))
            .map(|(_, value)| *value)
            .collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {series:?}");
        found[0]
    }
}

/// The family that is being read.
struct Open {
    name: String,
    family: Family,
    seen: BTreeSet<Labels>,
}

/// Reads a text.
pub(super) fn parse(text: &str) -> Result<Exposition, String> {
    let body = text
        .strip_suffix("# EOF\n")
        .ok_or("no `# EOF` at the end")?;
    let mut exposition = Exposition::default();
    let mut open: Option<Open> = None;
    for line in body.lines() {
        let wrong = |why: &str| format!("{why}: {line}");
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (word, name) = (words.next(), words.next().unwrap_or_default());
            let text = words.next().ok_or_else(|| wrong("no text"))?.to_owned();
            match word {
                Some("HELP") => {
                    close(&mut exposition, open.take())?;
                    open = Some(Open {
                        name: valid_name(name)?.to_owned(),
                        family: Family {
                            help: text,
                            ..Family::default()
                        },
                        seen: BTreeSet::new(),
                    });
                }
                Some(word @ ("TYPE" | "UNIT")) => {
                    let of = open.as_mut().filter(|of| of.name == name);
                    let of = of.ok_or_else(|| wrong("of another family"))?;
                    if !of.family.series.is_empty() {
                        return Err(wrong("behind a series"));
                    }
                    if word == "UNIT" {
                        if !name.ends_with(&format!("_{text}")) {
                            return Err(wrong("the name does not end with the unit"));
                        }
                        if of.family.unit.replace(text).is_some() {
                            return Err(wrong("twice"));
                        }
                    } else if !of.family.kind.is_empty() {
                        return Err(wrong("twice"));
                    } else {
                        of.family.kind = text;
                    }
                }
                _ => return Err(wrong("unknown comment")),
            }
            continue;
        }
        let of = open.as_mut().ok_or_else(|| wrong("no family"))?;
        let (labels, value) = series(line, &series_name(&of.name, &of.family.kind)?)?;
        let fits = match &*of.family.kind {
            "info" => value == 1.0,
            "counter" => value.is_finite() && value >= 0.0,
            _ => true,
        };
        if !fits {
            return Err(wrong("no value of this type"));
        }
        if !of.seen.insert(labels.clone()) {
            return Err(wrong("twice"));
        }
        of.family.series.push((labels, value));
    }
    close(&mut exposition, open)?;
    Ok(exposition)
}

fn close(exposition: &mut Exposition, open: Option<Open>) -> Result<(), String> {
    let Some(Open { name, family, .. }) = open else {
        return Ok(());
    };
    let series = series_name(&name, &family.kind)?;
    match exposition.0.insert(series, family) {
        None => Ok(()),
        Some(_) => Err(format!("{name} twice")),
    }
}

fn series_name(family: &str, kind: &str) -> Result<String, String> {
    match kind {
        "counter" => Ok(format!("{family}_total")),
        "gauge" => Ok(family.to_owned()),
        "info" => Ok(format!("{family}_info")),
        other => Err(format!("{family} has no known type: {other:?}")),
    }
}

fn valid_name(name: &str) -> Result<&str, String> {
    let is_valid = name.starts_with(|of: char| of.is_ascii_alphabetic())
        && name
            .chars()
            .all(|of| of.is_ascii_alphanumeric() || of == '_');
    is_valid.then_some(name).ok_or(format!("no name: {name:?}"))
}

/// Reads a line of a series with this name.
fn series(line: &str, name: &str) -> Result<(Labels, f64), String> {
    let wrong = |why: &str| format!("{why}: {line}");
    let mut rest = line
        .strip_prefix(name)
        .ok_or_else(|| wrong("of another family"))?;
    let mut labels = Labels::new();
    if let Some(list) = rest.strip_prefix('{') {
        rest = list;
        loop {
            let (label, behind) = rest.split_once("=\"").ok_or_else(|| wrong("no label"))?;
            let (value, behind) = quoted(behind).ok_or_else(|| wrong("no label value"))?;
            if labels
                .insert(valid_name(label)?.to_owned(), value)
                .is_some()
            {
                return Err(wrong("a label twice"));
            }
            if let Some(end) = behind.strip_prefix('}') {
                rest = end;
                break;
            }
            rest = behind
                .strip_prefix(',')
                .ok_or_else(|| wrong("no end of the labels"))?;
        }
    }
    let value = rest.strip_prefix(' ').ok_or_else(|| wrong("no value"))?;
    let value = value.parse().map_err(|_| wrong("no number"))?;
    Ok((labels, value))
}

/// Reads a label value up to its quote. Returns it, and what is behind the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            '\n' => return None,
            other => value.push(other),
        }
    }
    None
}

#[test]
fn what_is_no_openmetrics_text_is_refused() {
    let good = "# HELP a_b x y\n# TYPE a_b counter\n# UNIT a_b b\na_b_total{l=\"\\\"\\n\\\\}\"} 1\n\
                # HELP c z\n# TYPE c gauge\nc -1.5\n# EOF\n";
    let parsed = parse(good).unwrap();
    assert_eq!(parsed.value("a_b_total", &[("l", "\"\n\\}")]), 1.0);
    assert_eq!(parsed.value("c", &[]), -1.5);
    for (from, to) in [
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF\n\n"),
        ("# TYPE c gauge\n", ""),
        ("# TYPE c gauge\n", "# TYPE c gauge\n# TYPE c gauge\n"),
        ("# TYPE c gauge", "# TYPE c histogram"),
        ("# HELP c z\n", ""),
        ("# HELP c", "# HELP a_b"),
        ("# UNIT a_b b", "# UNIT a_b c"),
        ("a_b_total", "a_b"),
        ("} 1\n", "} -1\n"),
        ("} 1\n", "} 1 \n"),
        ("} 1\n", "}\n"),
        ("} 1\n", ",l=\"\"} 1\n"),
        ("c -1.5\n", "c -1.5\nc 2\n"),
        ("c -1.5\n", "c x\n"),
        ("\\n", "\\t"),
        ("\\n", "\n"),
        ("{l=", "{4="),
        ("{l=", "{l"),
    ] {
        assert!(good.contains(from), "{from:?}");
        let bad = good.replacen(from, to, 1);
        assert!(parse(&bad).is_err(), "{bad}");
    }
}
