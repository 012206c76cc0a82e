//! `ipvlan config`

use std::{fmt::Write as _, process::ExitCode};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{json, print};
use crate::{
    cli::{ConfigArgs, Format, OutputArgs},
    config::{FILE_LIMIT, Loaded, Setting, Source},
    exit::Failure,
    protocol::{Line, SCHEMA},
    text::{escaped_path, printable},
};

/// Longest setting that places of others are aligned with, in characters.
const ALIGNED: usize = 48;

/// Output of `ipvlan config show -o json`.
#[derive(Serialize, JsonSchema)]
pub struct Shown {
    /// [`SCHEMA`].
    pub schema: u32,
    /// All settings, by their keys.
    pub settings: Vec<Setting>,
}

/// Reads the configuration as `ipvlan run` would, and prints its files. Reports the first error of each file.
pub fn check(args: ConfigArgs) -> Result<(), Failure> {
    let files = match Source::from(args.run).check() {
        Ok(Loaded { files, .. }) => files,
        Err(mut errors) => {
            // The last one is the command's own.
            let last = errors.pop();
            for error in errors {
                let _: ExitCode = Failure::from(error).report();
            }
            return last.map_or(Ok(()), |error| Err(error.into()));
        }
    };
    if files.is_empty() {
        return print("no configuration file\n");
    }
    let lines: Vec<_> = files
        .iter()
        .map(|file| format!("{}: ok\n", escaped_path(file)))
        .collect();
    print(lines.concat())
}

/// Prints every setting that `ipvlan run` would have, and where it comes from.
pub fn show(args: ConfigArgs, output: OutputArgs) -> Result<(), Failure> {
    let settings = Source::from(args.run).explain()?;
    match output.format() {
        Format::Table => print(text(&settings)),
        Format::Json => json::print(&Shown {
            schema: SCHEMA,
            settings,
        }),
        Format::Jsonl => {
            json::print_lines(&settings.into_iter().map(Line::from).collect::<Vec<_>>())
        }
    }
}

/// Renders settings as a configuration file, with the origin of each as a comment.
fn text(settings: &[Setting]) -> String {
    let mut text = String::new();
    let (rules, single): (Vec<_>, Vec<_>) =
        settings.iter().partition(|setting| setting.key == "rule");
    let line = |key: &str, value: &Value| format!("{key} = {}", literal(value));
    let lines: Vec<_> = single
        .iter()
        .map(|setting| (line(&setting.key, &setting.value), &setting.origin))
        .collect();
    let lengths = lines.iter().map(|(line, _)| line.chars().count());
    let width = lengths
        .filter(|&length| length <= ALIGNED)
        .max()
        .unwrap_or(0);
    for (line, origin) in lines {
        // Writing to a string does not fail.
        let _: std::fmt::Result = writeln!(text, "{line:width$}  # {origin}");
    }
    let rules = rules.iter().filter_map(|setting| setting.value.as_array());
    for rule in rules.flatten().filter_map(Value::as_object) {
        let place = rule
            .get("place")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let _: std::fmt::Result = writeln!(text, "\n[[rule]]  # {}", printable(place));
        for (key, value) in rule.iter().filter(|(key, _)| *key != "place") {
            text += &line(key, value);
            text.push('\n');
        }
    }
    if text.len() > FILE_LIMIT {
        let note = format!(
            "# exceeds the {FILE_LIMIT} bytes that one file can have: divide it into files of config.d\n"
        );
        text.insert_str(0, &note);
    }
    text
}

/// Returns a value as TOML has it, in printable characters. Its strings are those of JSON but for the escapes of
/// characters beyond 16 bits.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        value => json::escaped(&value.to_string(), |character| match u32::from(character) {
            short @ ..=0xffff => format!("\\u{short:04x}"),
            long => format!("\\U{long:08x}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Options, Origin, parse};

    #[test]
    fn what_is_shown_is_a_file_with_the_same_settings() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(r"with\backslash.toml");
        let place = escaped_path(&file).to_string();
        let place = place.as_str();
        let rule = "[[rule]]\nnetns = [\"cni-*\", \"x\"]\ndeny = [\"10.1.0.1\"]\naddresses = 7\n";
        let written = format!(
            "iface = ['ens34', 'ens35']\naudit = 7\npin-dir = \"/\\u007f\\U000e0041'\"\n{rule}"
        );
        std::fs::write(&file, written).unwrap();
        let source = |options: Options| Source {
            file: Some(file.clone()),
            overrides: options,
        };
        let settings = source(toml::from_str("xdp = 'generic'").unwrap())
            .explain()
            .unwrap();
        let shown = text(&settings);
        let lines = [
            ("iface = [\"ens34\", \"ens35\"]", place),
            ("audit = 7", place),
            ("xdp = \"generic\"", "command line"),
            ("max-addresses = 16384", "default"),
            ("pin-dir = \"/\\u007f\\U000e0041'\"", place),
            ("[[rule]]", &format!("{place}:4")),
        ];
        for (setting, origin) in lines {
            let is_it = |line: &str| {
                line.split_once("  # ")
                    .is_some_and(|(left, right)| left.trim_end() == setting && right == origin)
            };
            assert!(
                shown.lines().any(is_it),
                "no {setting:?} of {origin} in\n{shown}"
            );
        }
        let rule = "\naddresses = 7\ndeny = [\"10.1.0.1/32\"]\nnetns = [\"cni-*\", \"x\"]\n";
        assert!(shown.ends_with(rule), "{shown}");
        let read = parse(Path::new("/shown"), shown.as_bytes()).unwrap();
        std::fs::write(&file, &shown).unwrap();
        let again = source(Options::default()).explain().unwrap();
        assert!(
            again
                .iter()
                .all(|setting| setting.origin == Origin::File(file.clone()))
        );
        let values = |settings: Vec<Setting>| -> Vec<_> {
            let values = settings.into_iter().filter(|setting| setting.key != "rule");
            values.map(|setting| (setting.key, setting.value)).collect()
        };
        assert_eq!(values(again), values(settings));
        assert_eq!(read.rule.len(), 1);
    }

    #[test]
    fn what_no_file_can_have_is_noted() {
        let prefixes = |count| Setting {
            key: "allow".to_owned(),
            value: Value::from(vec!["2001:db8::/64"; count]),
            origin: Origin::Default,
        };
        let shown = [1, 20_000].map(|count| text(&[prefixes(count)]));
        assert_eq!(
            shown.map(|text| text.starts_with("# exceeds ")),
            [false, true]
        );
    }
}
