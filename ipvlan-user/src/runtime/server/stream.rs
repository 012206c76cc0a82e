//! Methods whose replies come as things happen, until the client closes the connection.

use std::{collections::BTreeSet, pin::pin};

use serde::Serialize;
use tokio::{sync::oneshot, time::Duration};
use zlink::{connection::ReadConnection, varlink_service};

use super::{Answered, Refusal, Replies, Request, Service};
use crate::{
    protocol::{
        CaptureParameters, CaptureReply, MonitorParameters, MonitorReply, Topic, Word,
        varlink::{self, CallError, Error},
    },
    runtime::{bounded::BoundedReadHalf, feed::Subscription},
};

/// How long a client may leave a reply of a stream unread. What comes meanwhile is dropped and counted.
const PATIENCE: Duration = Duration::from_mins(1);
/// Most frames or events in a reply: with 2 048 bytes each, 180 KiB.
const ITEMS_PER_REPLY: usize = 64;

impl Service<'_> {
    /// Sends captured frames.
    pub(super) async fn capture(
        &self,
        parameters: CaptureParameters,
        replies: &mut Replies<'_>,
        read: &mut ReadConnection<BoundedReadHalf>,
    ) -> Answered {
        let request = |reply| Request::Capture { parameters, reply };
        match self.subscribe(true, request, replies).await {
            Ok(frames) => {
                let reply = |frames, dropped| CaptureReply { frames, dropped };
                stream(frames, reply, replies, read).await
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Sends events.
    pub(super) async fn monitor(
        &self,
        parameters: MonitorParameters,
        replies: &mut Replies<'_>,
        read: &mut ReadConnection<BoundedReadHalf>,
    ) -> Answered {
        let MonitorParameters { topics, parent } = parameters;
        let topics = match topics.filter(|topics| !topics.is_empty()) {
            None => BTreeSet::from(Topic::ALL),
            Some(topics) => {
                let known = topics.into_iter().map(|topic| match topic {
                    Word::Known(topic) => Ok(topic),
                    Word::Other(_) => Err(CallError::Parameter("topics".to_owned())),
                });
                match known.collect::<Result<BTreeSet<_>, _>>() {
                    Ok(topics) => topics,
                    Err(error) => return Ok(Err(error.into())),
                }
            }
        };
        let is_frames = topics.iter().any(|topic| topic.is_frames());
        let request = |reply| Request::Monitor {
            topics,
            parent,
            reply,
        };
        match self.subscribe(is_frames, request, replies).await {
            Ok(events) => {
                let reply = |events, dropped| MonitorReply { events, dropped };
                stream(events, reply, replies, read).await
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Requests a stream of the agent. Frames are for those who may change something: programs are attached for them.
    async fn subscribe<T>(
        &self,
        is_frames: bool,
        request: impl FnOnce(oneshot::Sender<Result<Subscription<T>, Error>>) -> Request,
        replies: &Replies<'_>,
    ) -> Result<Subscription<T>, Refusal> {
        if !replies.more {
            return Err(varlink_service::Error::ExpectedMore.into());
        }
        if is_frames && !self.is_trusted {
            return Err(varlink_service::Error::PermissionDenied.into());
        }
        self.request(request).await?.map_err(Refusal::Agent)
    }
}

/// Sends the items of a stream until the client closes the connection, or sends anything.
async fn stream<T, Reply: Default + Serialize>(
    mut items: Subscription<T>,
    reply: impl Fn(Vec<T>, u64) -> Reply,
    replies: &mut Replies<'_>,
    read: &mut ReadConnection<BoundedReadHalf>,
) -> Answered {
    replies.patience = PATIENCE;
    let mut closed = pin!(read.receive_call::<varlink::Call>());
    let sending = async {
        replies.next(Reply::default()).await?;
        while let Some((items, dropped)) = items.next(ITEMS_PER_REPLY).await {
            replies.next(reply(items, dropped)).await?;
        }
        zlink::Result::Ok(())
    };
    tokio::select! {
        biased;
        sent = sending => sent.map(|()| Err(Error::Stopping.into())),
        _ = &mut closed => Err(zlink::Error::UnexpectedEof),
    }
}
