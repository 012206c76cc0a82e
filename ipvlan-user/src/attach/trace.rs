//! Messages of the programs, in a build with the feature `trace`: hook, reason and child of every
//! decision, by number, at log level trace.

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::io::{Interest, unix::AsyncFd};
use tracing::{debug, warn};

/// Prints messages until the object is gone. Must be called within a tokio runtime.
pub(super) fn follow(object: &mut Ebpf) {
    #[allow(
        deprecated,
        reason = "the other constructor wants an owned descriptor, EbpfLogger has a raw one"
    )]
    let logger = EbpfLogger::init(object)
        .map_err(|error| error.to_string())
        .and_then(|logger| {
            AsyncFd::with_interest(logger, Interest::READABLE).map_err(|error| error.to_string())
        });
    let mut logger = match logger {
        Ok(logger) => logger,
        Err(error) => {
            warn!("no messages from the programs: {error}");
            return;
        }
    };
    tokio::spawn(async move {
        loop {
            match logger.readable_mut().await {
                Ok(mut ready) => {
                    ready.get_inner_mut().flush();
                    ready.clear_ready();
                }
                Err(error) => {
                    debug!("no more messages from the programs: {error}");
                    return;
                }
            }
        }
    });
}
