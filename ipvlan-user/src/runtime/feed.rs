//! Streams to clients, each with a bounded queue: an item that finds the queue full is counted and dropped, so that a
//! client that does not read holds up nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{Notify, mpsc};

/// Creates a stream whose queue has `capacity` items. `released` is notified when the client has gone.
#[must_use]
pub fn feed<T>(capacity: usize, released: &Arc<Notify>) -> (Feed<T>, Subscription<T>) {
    let (sender, receiver) = mpsc::channel(capacity);
    let dropped = Arc::<AtomicU64>::default();
    let feed = Feed {
        sender,
        dropped: Arc::clone(&dropped),
    };
    let subscription = Subscription {
        receiver,
        dropped,
        released: Arc::clone(released),
    };
    (feed, subscription)
}

/// The end of a stream that items are put into.
#[derive(Debug)]
pub struct Feed<T> {
    sender: mpsc::Sender<T>,
    dropped: Arc<AtomicU64>,
}

impl<T> Clone for Feed<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            dropped: Arc::clone(&self.dropped),
        }
    }
}

impl<T> Feed<T> {
    /// Puts an item into the queue, or counts it as dropped.
    pub fn send(&self, item: T) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.sender.try_send(item) {
            self.count_dropped(1);
        }
    }

    /// Counts items that were lost before they came here.
    pub fn count_dropped(&self, items: u64) {
        self.dropped.fetch_add(items, Ordering::Relaxed);
    }

    /// Returns whether the queue is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.sender.capacity() == 0
    }

    /// Returns whether the client has gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// The end of a stream that a client reads.
#[derive(Debug)]
pub struct Subscription<T> {
    receiver: mpsc::Receiver<T>,
    dropped: Arc<AtomicU64>,
    released: Arc<Notify>,
}

impl<T> Subscription<T> {
    /// Waits for items. Returns at least one and at most `limit` of them, and how many have been dropped since the stream
    /// began; none if the stream has ended. Cancelling loses nothing.
    pub async fn next(&mut self, limit: usize) -> Option<(Vec<T>, u64)> {
        let mut items = Vec::new();
        match self.receiver.recv_many(&mut items, limit).await {
            0 => None,
            _ => Some((items, self.dropped.load(Ordering::Relaxed))),
        }
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.receiver.close();
        self.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn what_finds_the_queue_full_is_counted_and_the_end_is_notified() {
        let released = Arc::default();
        let (feed, mut subscription) = feed(2, &released);
        for item in 0..5 {
            feed.send(item);
        }
        assert!(feed.is_full());
        feed.count_dropped(4);
        assert_eq!(subscription.next(1).await, Some((vec![0], 7)));
        assert_eq!(subscription.next(9).await, Some((vec![1], 7)));
        assert!(!feed.is_full() && !feed.is_closed());
        drop(subscription);
        released.notified().await;
        assert!(feed.is_closed());
        // It has nowhere to go, and is no loss to anyone.
        feed.send(6);

        let (feed, mut subscription) = super::feed::<u8>(2, &released);
        drop(feed);
        assert_eq!(subscription.next(1).await, None);
    }
}
