//! Questions asked from inside a netns: is an address there, and does what it sends arrive intact?
//!
//! Each probe runs on the current thread in the netns the thread has entered, asks again until
//! its patience is over and answers `true` or `false`; an error means that it could not ask.

pub mod aging;
pub mod claim;
pub mod neighbour;
pub mod packet;
pub mod ping;
pub mod responder;
pub mod router;
pub mod stream;
pub mod target;
pub mod tcp;
pub mod udp;

use std::{
    io,
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::{
    errno::Errno,
    sys::{
        socket::{setsockopt, sockopt::ReceiveTimeout},
        time::{TimeVal, TimeValLike},
    },
};

/// Pause between two questions.
pub(crate) const PAUSE: Duration = Duration::from_millis(300);

/// Does `is_so` become true within `patience`? Asked with a `pause` in between; what comes late does
/// not count.
pub fn until(
    patience: Duration,
    pause: Duration,
    is_so: impl Fn() -> Result<bool>,
) -> Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        // Read before the question, which takes its time too.
        let late = Instant::now() >= deadline;
        match is_so()? {
            true => return Ok(!late),
            false if late => return Ok(false),
            false => thread::sleep(pause),
        }
    }
}

/// Is this the network saying no, in contrast to a probe that could not ask?
pub(crate) fn is_refusal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::ENETDOWN
            | Errno::EHOSTDOWN
            | Errno::ECONNREFUSED
            | Errno::ECONNRESET
            | Errno::ETIMEDOUT
            | Errno::EAGAIN
            | Errno::EINTR
            | Errno::EPIPE
            // The queue behind a device dropped it; raw IPv6 sockets get an error.
            | Errno::ENOBUFS
    )
}

/// [`is_refusal`] for an error of the standard library.
pub(crate) fn is_refusal_io(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::UnexpectedEof
    ) || error
        .raw_os_error()
        .is_some_and(|raw| is_refusal(Errno::from_raw(raw)))
}

/// Lets `socket` wait for at most `left` when it receives.
pub(crate) fn receive_within(socket: &impl AsFd, left: Duration) -> nix::Result<()> {
    // Zero would mean to wait for ever.
    let left = i64::try_from(left.as_micros()).unwrap_or(i64::MAX).max(100);
    setsockopt(socket, ReceiveTimeout, &TimeVal::microseconds(left))
}
