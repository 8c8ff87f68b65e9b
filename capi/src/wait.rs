//! Waiting on a thread of C's: for a future, for so long, until somebody ends it.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::failure::Failure;
use crate::ffi::{NEAP_ERROR_CANCELLED, NEAP_ERROR_TIMED_OUT};

/// What neap_cancel ends waits by. Once it is given, it stays given.
#[derive(Default)]
pub(crate) struct Token(watch::Sender<bool>);

impl Token {
    /// Ends every wait with it, those to come as well.
    pub(crate) fn cancel(&self) {
        self.0.send_replace(true);
    }

    async fn cancelled(&self) {
        // The sender is in here: it is not dropped.
        let _ = self.0.subscribe().wait_for(|given| *given).await;
    }
}

/// How long a function may wait.
#[derive(Clone, Default)]
pub(crate) struct Patience {
    /// Until then at most.
    pub(crate) until: Option<Instant>,
    /// Until this is given.
    pub(crate) cancel: Option<Arc<Token>>,
}

impl Patience {
    /// At most so many milliseconds: no bound when negative.
    pub(crate) fn of(timeout_ms: i64, cancel: Option<Arc<Token>>) -> Patience {
        let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        Patience { until: timeout.and_then(|timeout| Instant::now().checked_add(timeout)), cancel }
    }

    /// At most so long, too.
    pub(crate) fn within(mut self, longest: Option<Duration>) -> Patience {
        let bound = longest.and_then(|longest| Instant::now().checked_add(longest));
        self.until = match (self.until, bound) {
            (Some(until), Some(bound)) => Some(until.min(bound)),
            (until, bound) => until.or(bound),
        };
        self
    }

    /// So much longer, where there is a bound.
    pub(crate) fn later(mut self, grace: Duration) -> Patience {
        self.until = self.until.and_then(|until| until.checked_add(grace));
        self
    }

    /// Waits for it, on this very thread.
    pub(crate) fn wait<F: Future>(&self, future: F) -> Result<F::Output, Failure> {
        let cancelled = async {
            match &self.cancel {
                Some(token) => token.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let (mut future, mut cancelled) = (pin!(future), pin!(cancelled));
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return Ok(output);
            }
            if cancelled.as_mut().poll(&mut cx).is_ready() {
                let text = "the wait was cancelled; what was begun goes on";
                return Err(Failure::new(NEAP_ERROR_CANCELLED, text));
            }
            match self.until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => bell.wait(None),
                Some(Duration::ZERO) => {
                    let text = "it took longer than was allowed; what was begun goes on";
                    return Err(Failure::new(NEAP_ERROR_TIMED_OUT, text));
                }
                Some(left) => bell.wait(Some(left)),
            }
        }
    }
}

/// Wakes a thread that is not Rust's: `std::thread::park` would leave something behind on it.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    told: Condvar,
}

impl Bell {
    /// Until it rings, or has rung since the last wait.
    fn wait(&self, longest: Option<Duration>) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        if !*rung {
            // Woken for nothing, the caller looks again and comes back.
            rung = match longest {
                None => self.told.wait(rung).unwrap_or_else(PoisonError::into_inner),
                Some(longest) => self.told.wait_timeout(rung, longest).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        *rung = false;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_one();
    }
}
