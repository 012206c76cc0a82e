//! Where metrics are served: the value of `--metrics`.

use std::{
    fmt,
    net::{AddrParseError, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

/// Longest path of a socket that a client can connect to (`sun_path` less its NUL).
const LONGEST_PATH: usize = 107;
/// The word for no endpoint.
const OFF: &str = "off";
/// What a path begins with.
const UNIX: &str = "unix:";

/// Where metrics are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A port of a loopback address.
    Tcp(SocketAddr),
}

/// Whether and where metrics are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MetricsChoice {
    /// They are not served.
    #[default]
    Off,
    /// They are served there.
    At(Endpoint),
}

impl FromStr for MetricsChoice {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text == OFF {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At)
    }
}

impl fmt::Display for MetricsChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str(OFF),
            Self::At(endpoint) => endpoint.fmt(f),
        }
    }
}

impl From<MetricsChoice> for Option<Endpoint> {
    fn from(choice: MetricsChoice) -> Self {
        match choice {
            MetricsChoice::Off => None,
            MetricsChoice::At(endpoint) => Some(endpoint),
        }
    }
}

impl From<Option<Endpoint>> for MetricsChoice {
    fn from(endpoint: Option<Endpoint>) -> Self {
        endpoint.map_or(Self::Off, Self::At)
    }
}

/// Error of a text that is not an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is neither a path nor an address with a port.
    #[error("{0}: give off, unix:PATH, 127.0.0.1:PORT or [::1]:PORT")]
    Address(#[from] AddrParseError),
    /// Other hosts could connect to it.
    #[error(
        "{0} is not a loopback address: give 127.0.0.1:PORT or [::1]:PORT, or unix:PATH, and publish it through a \
         proxy that authenticates its clients"
    )]
    NotLoopback(SocketAddr),
    /// No client could know the port.
    #[error("port 0 is no port to connect to: give one from 1 to 65535")]
    NoPort,
    /// It would depend on the directory that the agent is started in.
    #[error("the path of the socket is not absolute, or names no file: give unix:/PATH")]
    NotAbsolute,
    /// No client could connect to it.
    #[error("the path of the socket is longer than {LONGEST_PATH} bytes")]
    TooLong,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix(UNIX) {
            let is_file = Path::new(path).file_name().is_some() && !path.ends_with('/');
            return if !path.starts_with('/') || !is_file {
                Err(EndpointError::NotAbsolute)
            } else if path.len() > LONGEST_PATH {
                Err(EndpointError::TooLong)
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let address: SocketAddr = text.parse()?;
        if !address.ip().is_loopback() {
            return Err(EndpointError::NotLoopback(address));
        }
        if address.port() == 0 {
            return Err(EndpointError::NoPort);
        }
        Ok(Self::Tcp(address))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A path that was parsed is UTF-8.
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_is_a_path_or_a_loopback_address_with_a_port() {
        let long = format!("unix:/{}", "x".repeat(LONGEST_PATH));
        let rows = [
            ("unix:/run/ipvlan/metrics.sock", None),
            ("127.0.0.1:9469", None),
            ("127.8.8.8:1", None),
            ("off", None),
            ("[::1]:65535", None),
            ("unix:metrics.sock", Some("not absolute")),
            ("unix:/run/", Some("not absolute")),
            ("unix:/", Some("not absolute")),
            ("unix:/run/..", Some("not absolute")),
            ("unix:", Some("not absolute")),
            (&long, Some("longer than 107 bytes")),
            ("0.0.0.0:9469", Some("0.0.0.0:9469 is not a loopback")),
            ("192.0.2.1:9469", Some("not a loopback")),
            ("[::]:9469", Some("not a loopback")),
            ("[::ffff:127.0.0.1]:9469", Some("not a loopback")),
            ("127.0.0.1:0", Some("port 0")),
            ("127.0.0.1", Some("give off, unix:PATH, 127.0.0.1:PORT")),
            (":9469", Some("give off, unix:PATH")),
            ("localhost:9469", Some("give off, unix:PATH")),
            ("::1:9469", Some("give off, unix:PATH")),
            ("/run/ipvlan/metrics.sock", Some("give off, unix:PATH")),
            ("", Some("give off, unix:PATH")),
        ];
        for (text, expected) in rows {
            match (text.parse::<MetricsChoice>(), expected) {
                (Ok(endpoint), None) => assert_eq!(endpoint.to_string(), text),
                (Err(error), Some(part)) => {
                    let shown = error.to_string();
                    assert!(shown.contains(part), "{text}: {shown}");
                }
                (parsed, _) => panic!("{text}: {parsed:?}"),
            }
        }
    }
}
