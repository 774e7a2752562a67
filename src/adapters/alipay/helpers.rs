//! Where requests are signed: on the spot, or on another core as soon as several want it at once.
//!
//! A signature takes about half the processor time of a job. The daemon's I/O runs on one thread,
//! since at a low rate every further one is woken for nothing; so this is the work that has to
//! reach the other cores when there is much of it, and only then: handing it over costs two
//! wake-ups.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// Threads that may be asked for work, each for one piece at a time.
pub(super) struct Helpers {
    idle: Arc<Semaphore>,
    /// How many pieces of work there are, done here or there.
    pieces: AtomicUsize,
}

/// One piece counts for as long as this lives.
struct Piece<'a>(&'a AtomicUsize);

impl<'a> Piece<'a> {
    fn of(pieces: &'a AtomicUsize) -> Self {
        pieces.fetch_add(1, Ordering::Relaxed);
        Self(pieces)
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Helpers {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            idle: Arc::new(Semaphore::new(threads)),
            pieces: AtomicUsize::new(0),
        }
    }

    /// Does `work`: here, if it is the only piece or every helper has one already; else by a
    /// helper. Never waits for a helper to become idle.
    ///
    /// `None` if the runtime ends before a helper has begun: it was not done, and will not be.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _piece = Piece::of(&self.pieces);
        // Whoever else is ready shows up before this one begins.
        tokio::task::yield_now().await;
        if self.pieces.load(Ordering::Relaxed) < 2 {
            return Some(work());
        }
        let Ok(helper) = Arc::clone(&self.idle).try_acquire_owned() else {
            return Some(work());
        };
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(helper);
            done
        });
        match working.await {
            Ok(done) => Some(done),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread::{ThreadId, current};

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::Helpers;

    async fn threads(helpers: &Helpers, pieces: usize) -> Vec<ThreadId> {
        let working = (0..pieces).map(|_| helpers.run(|| current().id()));
        join_all(working).await.into_iter().flatten().collect()
    }

    #[tokio::test]
    async fn a_single_piece_is_done_on_the_spot() {
        let here = vec![current().id()];
        assert_eq!(threads(&Helpers::new(4), 1).await, here);
    }

    #[tokio::test]
    async fn of_several_at_once_the_first_ones_go_to_idle_helpers() {
        let here = current().id();
        let helped = threads(&Helpers::new(3), 3).await;
        assert!(helped.len() == 3 && helped[0] != here && helped[1] != here);
    }

    #[tokio::test]
    async fn without_an_idle_helper_all_is_done_on_the_spot() {
        let here = [current().id(); 3];
        assert_eq!(threads(&Helpers::new(0), 3).await, here);
        let helpers = Helpers::new(1);
        let helper = Arc::clone(&helpers.idle).try_acquire_owned();
        assert_eq!(threads(&helpers, 3).await, here);
        drop(helper);
        assert_ne!(threads(&helpers, 3).await, here);
    }

    #[tokio::test]
    async fn a_panic_is_the_callers_and_the_helper_is_idle_again() {
        let helpers = Helpers::new(1);
        let fails = async || {
            let failing = helpers.run(|| panic!("boom"));
            let other = helpers.run(|| ());
            let both = futures_util::future::join(failing, other);
            std::panic::AssertUnwindSafe(both).catch_unwind().await
        };
        for _ in 0..3 {
            assert!(fails().await.is_err());
        }
        assert_eq!(helpers.idle.available_permits(), 1);
    }
}
