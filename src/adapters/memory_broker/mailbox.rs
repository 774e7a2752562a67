//! A queue of messages for one reader inside the process.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Messages that a slow reader may be behind; beyond it the oldest are dropped, so that nobody who
/// forgot to read stops a payment.
const MESSAGES_MAX: usize = 100_000;

/// What was sent to one reader and is not yet read.
#[derive(Debug)]
pub struct Mailbox<T> {
    messages: Mutex<VecDeque<T>>,
    arrived: Notify,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self {
            messages: Mutex::new(VecDeque::new()),
            arrived: Notify::new(),
        }
    }
}

impl<T> Mailbox<T> {
    /// The next message; waits for one.
    pub async fn next(&self) -> T {
        loop {
            let arrived = self.arrived.notified();
            if let Some(message) = self.try_next() {
                return message;
            }
            arrived.await;
        }
    }

    /// The next message, or `None` when none has arrived.
    pub fn try_next(&self) -> Option<T> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.pop_front()
    }

    pub(super) fn put(&self, message: T) {
        {
            let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
            while messages.len() >= MESSAGES_MAX {
                messages.pop_front();
            }
            messages.push_back(message);
        }
        self.arrived.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_too_slow_loses_the_oldest() {
        let mailbox = Mailbox::default();
        for number in 0..=MESSAGES_MAX {
            mailbox.put(number);
        }
        assert_eq!(mailbox.try_next(), Some(1));
    }
}
