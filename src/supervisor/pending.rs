//! Answers on their way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
#[cfg(feature = "cli")]
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::Error;
use super::shared::{Answer, Message, Shared};
use crate::block::block_on;
#[cfg(feature = "cli")]
use crate::block::block_within;
use crate::core::CommandId;

/// How a shutdown went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// The code of the critical process whose end began it.
    pub code: Option<i32>,
    /// Processes that would not die.
    pub stuck: Vec<Arc<str>>,
}

/// An answer on its way: await it, or [`wait`](Pending::wait) for it on a plain thread.
///
/// It needs no runtime, and any will do. The command is given when the method is called, not when this is first polled,
/// so several may be under way at once. Dropping it gives up the answer, not what was begun.
///
/// ```
/// use neap::{Supervisor, spec::Spec};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let supervisor = Supervisor::builder().build()?;
/// let first = supervisor.add(Spec::new("first", ["sleep", "60"]))?;
/// let second = supervisor.add(Spec::new("second", ["sleep", "60"]))?;
/// let (one, two) = (first.start(), second.start()); // both are being started
/// one.await?;
/// two.await?;
/// supervisor.shutdown().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a command's outcome is in its answer"]
pub struct Pending<T> {
    state: State<T>,
    shared: Weak<Shared>,
    command: Option<CommandId>,
}

enum State<T> {
    Waiting { receiver: oneshot::Receiver<Answer>, read: fn(Answer) -> Option<T> },
    Ready(Result<T, Error>),
    Taken,
}

impl<T> Pending<T> {
    pub(super) fn new(
        receiver: oneshot::Receiver<Answer>,
        read: fn(Answer) -> Option<T>,
        shared: &Arc<Shared>,
        command: Option<CommandId>,
    ) -> Self {
        Pending { state: State::Waiting { receiver, read }, shared: Arc::downgrade(shared), command }
    }

    pub(super) fn ready(answer: Result<T, Error>) -> Self {
        Pending { state: State::Ready(answer), shared: Weak::new(), command: None }
    }
}

impl<T: Unpin> Pending<T> {
    /// Blocks until the answer is there. Not for async code, whose thread it would block: await it there.
    ///
    /// # Errors
    /// Those of the call that gave it, [`Error::Ended`] when the supervisor ends first, and [`Error::OwnThread`] on the
    /// supervisor's own thread.
    pub fn wait(self) -> Result<T, Error> {
        if let Some(shared) = self.shared.upgrade() {
            shared.refuse_own_thread()?;
        }
        block_on(self)
    }
}

#[cfg(feature = "cli")]
impl<T: Unpin> Pending<T> {
    /// The same, but gives the answer up after this long; nothing then.
    pub(crate) fn wait_within(self, patience: Duration) -> Result<Option<T>, Error> {
        if let Some(shared) = self.shared.upgrade() {
            shared.refuse_own_thread()?;
        }
        block_within(self, patience).transpose()
    }
}

impl<T: Unpin> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.state {
            State::Waiting { receiver, read } => match Pin::new(receiver).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => Err(Error::Ended),
                Poll::Ready(Ok(Answer::Refused(refusal))) => Err(refusal.into()),
                Poll::Ready(Ok(answer)) => read(answer).ok_or(Error::Ended),
            },
            State::Ready(_) => match std::mem::replace(&mut self.state, State::Taken) {
                State::Ready(answer) => answer,
                _ => Err(Error::Ended),
            },
            State::Taken => Err(Error::Ended),
        };
        self.state = State::Taken;
        self.command = None;
        Poll::Ready(answer)
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        if let (State::Waiting { .. }, Some(id)) = (&self.state, self.command)
            && let Some(shared) = self.shared.upgrade()
        {
            let _ = shared.mailbox.post(Message::Abandon(id));
        }
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}
