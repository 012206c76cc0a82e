//! Destination of log lines: standard error, or the journal with a field for each value.

use std::{
    fmt,
    io::{self, IsTerminal as _},
    os::fd::AsFd,
};

use nix::sys::stat::{FileStat, fstat};
use tracing::{Subscriber, field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer,
    field::MakeExt as _,
    fmt::{
        MakeWriter,
        format::{Writer, debug_fn},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
};

use super::stderr::Stderr;
use crate::text::printable;

/// Environment variable with the log level.
const LEVEL: &str = "IPVLAN_LOG";
/// Device and inode of the stream that systemd connected to the journal, if it did (systemd.exec(5)).
const STREAM: &str = "JOURNAL_STREAM";
/// Before the names of fields in the journal: `parent=ens34` is `IPVLAN_PARENT=ens34` there.
const PREFIX: &str = "IPVLAN";

/// Starts logging.
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
        None => lines(Stderr::new, io::stderr().is_terminal()).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    // If logging has started already, this changes nothing.
    let _: Result<(), _> = tracing::subscriber::set_global_default(subscriber);
}

/// Returns the layer that writes one line per event. Values can be names that others chose: they are escaped,
/// in the message and in fields. (The journal gets values as they are, and its readers escape them.)
fn lines<S, W>(to: W, is_terminal: bool) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    tracing_subscriber::fmt::layer()
        .with_writer(to)
        .with_ansi(is_terminal)
        .with_target(false)
        .fmt_fields(debug_fn(write_field).delimited(" "))
}

fn write_field(to: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    match field.name() {
        "message" => write!(to, "{}", printable(&value)),
        name => write!(to, "{name}={}", printable(&value)),
    }
}

/// Returns whether `stream` is connected to the journal by systemd. The variable alone does not show it: processes whose
/// standard error was redirected since inherit it.
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
    use std::{io::Seek as _, sync::Arc};

    use super::*;

    #[test]
    fn line_has_no_control_characters_whatever_its_values_are() {
        let mut written = tempfile::tempfile().unwrap();
        let layer = lines(Arc::new(written.try_clone().unwrap()), false);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let name = "e\u{1b}[31m\nx\u{9b}\u{202e}";
            tracing::warn!(name, shown = %name, count = 7, "link {name} is gone");
        });
        written.rewind().unwrap();
        let line = io::read_to_string(written).unwrap();
        let (_, line) = line.split_once("WARN ").unwrap();
        assert_eq!(
            line,
            "link e\\u{1b}[31m\\u{a}x\\u{9b}\\u{202e} is gone name=\"e\\u{1b}[31m\\nx\\u{9b}\\u{202e}\" \
             shown=e\\u{1b}[31m\\u{a}x\\u{9b}\\u{202e} count=7\n"
        );
    }

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
