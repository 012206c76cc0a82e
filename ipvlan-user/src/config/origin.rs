//! Each setting in effect, and which source it comes from.

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Bounded, ConfigError, MetricsSettings, Options, PinSettings, Settings, Source, StaleAfter,
};
use crate::{
    attach::AttachOptions, lan::LanPolicy, model::Policy, quota::Quotas, text::escaped_path,
};

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// No source has the key.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// The command line.
    CommandLine,
}

/// Shows the path, `command line` or `default`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => escaped_path(path).fmt(f),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A setting in effect.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Setting {
    /// Its key in a configuration file.
    pub key: String,
    /// Its value, as a file has it.
    pub value: Value,
    /// Where it comes from; of `rule`, the last file that has one.
    #[schemars(with = "String")]
    pub origin: Origin,
}

impl Source {
    /// Reads the files, merges them with the command line, and returns every setting with its origin, sorted by
    /// key. The rules of all files are one setting, in which each has the key `place`.
    pub fn explain(&self) -> Result<Vec<Setting>, ConfigError> {
        let directories = [&self.overrides.pin_dir, &self.overrides.runtime_dir];
        for path in directories.into_iter().flatten() {
            if path.to_str().is_none() {
                return Err(ConfigError::NotUtf8 { path: path.clone() });
            }
        }
        let layers = self.layers()?;
        let given: Vec<_> = layers
            .iter()
            .map(|(origin, options)| (origin, keys(options)))
            .collect();
        let settings = self.settings(layers.iter().map(|(_, options)| options.clone()))?;
        let settings = keys(&Options::from(settings)).into_iter();
        let explained = settings.map(|(key, value)| {
            let has_it = given.iter().rev().find(|(_, keys)| keys.contains_key(&key));
            let origin = has_it.map_or(Origin::Default, |(origin, _)| (*origin).clone());
            Setting { key, value, origin }
        });
        Ok(explained.collect())
    }
}

/// Returns the options that are given, under their keys.
fn keys(options: &Options) -> Map<String, Value> {
    // Paths are UTF-8 and keys are strings: nothing else cannot be JSON.
    let value = serde_json::to_value(options).unwrap_or_default();
    let Value::Object(mut keys) = value else {
        return Map::new();
    };
    let is_given = |value: &Value| !value.is_null();
    keys.retain(|key, value| {
        is_given(value) && (key != "rule" || *value != Value::Array(Vec::new()))
    });
    keys
}

/// Returns options that are completed to the same settings: all of them, except rules and lists of prefixes that are
/// empty.
impl From<Settings> for Options {
    fn from(settings: Settings) -> Self {
        fn bounded<const MIN: u32, const MAX: u32>(number: u32) -> Option<Bounded<MIN, MAX>> {
            i64::from(number).try_into().ok()
        }
        let Settings {
            parents,
            policy:
                Policy {
                    l2_broadcast,
                    deliver,
                    dhcp,
                    answer_link_local,
                    allow,
                    deny,
                    rules,
                },
            lan:
                LanPolicy {
                    announce,
                    defend,
                    refresh,
                    dad,
                    rate,
                },
            quotas:
                Quotas {
                    addresses,
                    events,
                    announcements,
                    groups,
                    time,
                },
            attach:
                AttachOptions {
                    tc,
                    order,
                    xdp,
                    host_access,
                    max_addresses,
                    max_children,
                },
            audit,
            stale_after,
            pins: PinSettings { dir, keep },
            metrics: MetricsSettings { endpoint, children },
            runtime_dir,
        } = settings;
        let seconds = |time: std::time::Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let parents = parents.iter().filter_map(|name| name.parse().ok());
        Self {
            iface: Some(parents.collect()),
            l2_broadcast: Some(l2_broadcast),
            deliver: Some(deliver),
            dhcp: Some(dhcp),
            attach: Some(tc),
            order: Some(order),
            xdp: Some(xdp.into()),
            host_access: Some(host_access),
            answer_link_local: Some(answer_link_local),
            allow: Some(allow),
            deny: Some(deny),
            rule: rules,
            dad: Some(dad),
            announce: Some(announce),
            defend: Some(defend),
            refresh: bounded(refresh.map_or(0, seconds)),
            announce_rate: bounded(rate),
            netns_addresses: bounded(addresses),
            netns_events: bounded(events),
            netns_announcements: bounded(announcements),
            netns_groups: bounded(groups),
            netns_time: bounded(time),
            max_addresses: bounded(max_addresses),
            max_children: bounded(max_children),
            audit: bounded(seconds(audit)),
            stale_after: Some(StaleAfter(stale_after.map_or(0, |time| time.as_secs()))),
            pin: Some(keep),
            metrics: Some(endpoint.into()),
            metrics_children: Some(children),
            pin_dir: Some(dir),
            runtime_dir: Some(runtime_dir),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    const EVERYTHING: &str = r#"
        iface = ["ens34", "ens35.100"]
        l2-broadcast = "flood"
        deliver = "redirect"
        dhcp = "off"
        attach = "clsact"
        order = "after"
        xdp = "generic"
        host-access = false
        answer-link-local = true
        allow = ["10.0.0.0/8", "2001:db8::/32"]
        deny = ["10.0.0.1/32"]
        dad = "strict"
        announce = "off"
        defend = "off"
        refresh = 60
        announce-rate = 11
        netns-addresses = 12
        netns-events = 13
        netns-announcements = 14
        netns-groups = 15
        netns-time = 16
        max-addresses = 17
        max-children = 18
        audit = 19
        stale-after = 0
        pin = false
        metrics = "unix:/z"
        metrics-children = true
        pin-dir = "/x"
        runtime-dir = "/y"

        [[rule]]
        netns = ["cni-*"]
        name = ["eth?"]
        parent = ["ens34"]
        deny = ["10.1.0.1/32"]
        answer = false

        [[rule]]
        netns = ["cni-*"]
        allow = ["10.1.0.0/16"]
        addresses = 7
        next-hop = true
    "#;

    #[test]
    fn every_option_is_shown_as_a_file_has_it() {
        let options = parse(Path::new("/f"), EVERYTHING.as_bytes()).unwrap();
        let mut shown = keys(&options);
        let settings = Settings::new(options.clone()).unwrap();
        assert_eq!(keys(&Options::from(settings)), shown);
        for (rule, line) in shown["rule"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .zip([33, 40])
        {
            let place = rule.as_object_mut().unwrap().remove("place").unwrap();
            assert_eq!(place, format!("/f:{line}"));
        }
        let as_file: Value = toml::from_str(EVERYTHING).unwrap();
        assert_eq!(Value::Object(shown), as_file);
    }

    #[test]
    fn a_setting_comes_from_the_last_source_that_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let beside = dir.path().join("config.d/10.toml");
        std::fs::create_dir(beside.parent().unwrap()).unwrap();
        std::fs::write(&file, "iface = ['ens34']\naudit = 1\nmax-children = 1").unwrap();
        std::fs::write(
            &beside,
            "audit = 2\nrefresh = 0\n[[rule]]\ndeny = ['10.0.0.1']",
        )
        .unwrap();
        let source = Source {
            file: Some(file.clone()),
            overrides: toml::from_str("max-children = 3").unwrap(),
        };
        let settings = source.explain().unwrap();
        let origin = |key: &str| {
            let setting = settings.iter().find(|setting| setting.key == key).unwrap();
            (setting.value.to_string(), setting.origin.clone())
        };
        assert_eq!(
            origin("iface"),
            (r#"["ens34"]"#.to_owned(), Origin::File(file))
        );
        for (key, value) in [("audit", "2"), ("refresh", "0")] {
            assert_eq!(
                origin(key),
                (value.to_owned(), Origin::File(beside.clone()))
            );
        }
        assert_eq!(origin("rule").1, Origin::File(beside));
        assert_eq!(
            origin("max-children"),
            ("3".to_owned(), Origin::CommandLine)
        );
        for (key, value) in [
            ("dad", r#""optimistic""#),
            ("stale-after", "600"),
            ("pin", "true"),
            ("deny", "[]"),
        ] {
            assert_eq!(origin(key), (value.to_owned(), Origin::Default));
        }
    }
}
