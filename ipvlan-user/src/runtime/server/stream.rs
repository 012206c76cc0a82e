//! Methods whose replies come as things happen, until the client closes the connection.

use std::pin::pin;

use tokio::time::Duration;
use zlink::{connection::ReadConnection, varlink_service};

use super::{Answered, Refusal, Replies, Request, Service};
use crate::{
    protocol::{
        CaptureParameters, CaptureReply, Frame,
        varlink::{self, Error},
    },
    runtime::{bounded::BoundedReadHalf, feed::Subscription},
};

/// How long a client may leave a reply of a stream unread. Frames that come meanwhile are dropped and counted.
const PATIENCE: Duration = Duration::from_mins(1);
/// Most frames in a reply: with 2 048 bytes each, 180 KiB.
const FRAMES_PER_REPLY: usize = 64;

impl Service<'_> {
    /// Sends captured frames until the client closes the connection, or sends anything.
    pub(super) async fn capture(
        &self,
        parameters: CaptureParameters,
        replies: &mut Replies<'_>,
        read: &mut ReadConnection<BoundedReadHalf>,
    ) -> Answered {
        let mut frames = match self.subscribe(parameters, replies).await {
            Ok(frames) => frames,
            Err(refusal) => return Ok(Err(refusal)),
        };
        replies.patience = PATIENCE;
        let mut closed = pin!(read.receive_call::<varlink::Call>());
        let sending = async {
            replies.next(CaptureReply::default()).await?;
            while let Some((frames, dropped)) = frames.next(FRAMES_PER_REPLY).await {
                replies.next(CaptureReply { frames, dropped }).await?;
            }
            zlink::Result::Ok(())
        };
        tokio::select! {
            biased;
            sent = sending => sent.map(|()| Err(Error::Stopping.into())),
            _ = &mut closed => Err(zlink::Error::UnexpectedEof),
        }
    }

    async fn subscribe(
        &self,
        parameters: CaptureParameters,
        replies: &Replies<'_>,
    ) -> Result<Subscription<Frame>, Refusal> {
        if !replies.more {
            return Err(varlink_service::Error::ExpectedMore.into());
        }
        if !self.is_trusted {
            return Err(varlink_service::Error::PermissionDenied.into());
        }
        self.request(|reply| Request::Capture { parameters, reply })
            .await?
            .map_err(Refusal::Agent)
    }
}
