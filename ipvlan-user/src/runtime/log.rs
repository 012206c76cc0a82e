//! Where log lines go: standard error, or the journal with a field for every value.

use std::{
    io::{self, IsTerminal as _},
    os::fd::AsFd,
};

use nix::sys::stat::{FileStat, fstat};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _};

use super::stderr::Stderr;

/// Environment variable that says how much is logged.
const LEVEL: &str = "IPVLAN_LOG";
/// Device and inode of the stream that systemd connected to the journal, if it did (systemd.exec(5)).
const STREAM: &str = "JOURNAL_STREAM";
/// Before the names of fields in the journal: `parent=ens34` is `IPVLAN_PARENT=ens34` there.
const PREFIX: &str = "IPVLAN";

/// Logs from here on.
pub fn init() {
    let filter = EnvFilter::builder()
        .with_env_var(LEVEL)
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    let journal = is_journal(io::stderr())
        .then(tracing_journald::layer)
        // Without its socket the journal still takes lines of text.
        .and_then(Result::ok);
    let layer = match journal {
        Some(journal) => journal.with_field_prefix(Some(PREFIX.to_owned())).boxed(),
        None => tracing_subscriber::fmt::layer()
            .with_writer(Stderr::new)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    // There can only be one already, which then is as good.
    let _: Result<(), _> = tracing::subscriber::set_global_default(subscriber);
}

/// Whether `stream` is what systemd connected to the journal. The variable alone does not say so: it is
/// inherited by those whose standard error is somewhere else by now.
fn is_journal(stream: impl AsFd) -> bool {
    let Ok(named) = std::env::var(STREAM) else {
        return false;
    };
    fstat(stream).is_ok_and(|stat| is_named(&named, &stat))
}

fn is_named(named: &str, stat: &FileStat) -> bool {
    let Some((device, inode)) = named.split_once(':') else {
        return false;
    };
    device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_by_device_and_inode() {
        let (stream, _other) = io::pipe().unwrap();
        let stat = fstat(&stream).unwrap();
        let (device, inode) = (stat.st_dev, stat.st_ino);
        for (named, expected) in [
            (format!("{device}:{inode}"), true),
            (format!("{device}:{}", inode + 1), false),
            (format!("{}:{inode}", device + 1), false),
            (format!("{device}"), false),
            (format!("{device}:{inode}:"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_named(&named, &stat), expected, "{named:?}");
        }
    }
}
