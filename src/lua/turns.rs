//! Calls that share a state: each runs as a coroutine, in turns.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use mlua::thread::AsyncThread;
use mlua::{Function, Lua, MultiValue};

use super::error::Place;
use super::host::{Acting, Host};

/// How long a call may compute before others get a turn.
const SLICE: Duration = Duration::from_millis(50);

/// What is said of a call that took longer than it may.
pub(super) const TOO_LATE: &str = "took longer than it may";

/// What a call is held to.
#[derive(Clone, Default)]
pub(super) struct Terms {
    /// It is cut off at this moment, whatever it does.
    pub(super) until: Option<Instant>,
    /// It may compute for this long; what it waits for does not count.
    pub(super) computing: Option<Duration>,
    /// Somebody may give it up.
    pub(super) cancel: Option<Arc<Cancel>>,
    /// In whose name it acts, when not in the configuration's.
    pub(super) acting: Option<Arc<Acting>>,
}

/// Gives up a call, from any thread, also one that computes.
#[derive(Debug, Default)]
pub(super) struct Cancel {
    asked: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Cancel {
    /// Gives it up.
    pub(super) fn cancel(&self) {
        self.asked.store(true, Ordering::Release);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    /// Whether it is given up.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// The same; if not, the task is woken when it is.
    fn is_asked_or_wakes(&self, cx: &Context<'_>) -> bool {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        self.is_asked()
    }
}

/// Why a call did not return.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Its time was up, when it was at this place of a script.
    Late(Option<Place>),
    /// It was given up.
    Cancelled,
    /// It raised an error.
    Failed(mlua::Error),
}

/// Runs a function as a coroutine beside others, until it returns or its deadline has passed.
pub(super) async fn run_call(
    lua: &Lua,
    host: &Host,
    function: Function,
    arguments: MultiValue,
    deadline: Instant,
) -> Result<MultiValue, String> {
    let terms = Terms { until: Some(deadline), ..Terms::default() };
    run(lua, host, function, arguments, terms).await.map_err(|stopped| match stopped {
        Stopped::Late(Some(place)) => format!("{}:{}: {TOO_LATE}", place.chunk, place.line),
        Stopped::Late(None) => TOO_LATE.to_owned(),
        Stopped::Cancelled => "was given up".to_owned(),
        Stopped::Failed(error) => host.chunks().describe(&error),
    })
}

/// Runs a function as a coroutine beside others, under these terms.
pub(super) async fn run(
    lua: &Lua,
    host: &Host,
    function: Function,
    arguments: MultiValue,
    terms: Terms,
) -> Result<MultiValue, Stopped> {
    let coroutine = lua.create_thread(function).map_err(Stopped::Failed)?;
    let until = terms.until;
    let turns = Turns {
        top: coroutine.state() as usize,
        inner: coroutine.into_async::<MultiValue>(arguments).map_err(Stopped::Failed)?,
        lua: lua.clone(),
        host: host.clone(),
        terms,
        pause: None,
    };
    match until {
        None => turns.await,
        Some(until) => tokio::time::timeout_at(until.into(), turns).await.unwrap_or(Err(Stopped::Late(None))),
    }
}

/// A call, polled: each poll is a turn under the call's own deadline.
struct Turns {
    inner: AsyncThread<MultiValue>,
    top: usize,
    lua: Lua,
    host: Host,
    terms: Terms,
    /// Others run first: what was preempted wakes itself at once, and would be polled again and again before them.
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Turns {
    /// When the turn that begins now is to be over.
    fn deadline(&self, now: Instant) -> Instant {
        let computing = self.terms.computing.map(|left| now + left);
        match (self.terms.until, computing) {
            (Some(until), Some(computing)) => until.min(computing),
            (Some(moment), None) | (None, Some(moment)) => moment,
            // As good as never.
            (None, None) => now + Duration::from_secs(86_400),
        }
    }
}

impl Future for Turns {
    type Output = Result<MultiValue, Stopped>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.terms.cancel.as_ref().is_some_and(|cancel| cancel.is_asked_or_wakes(cx)) {
            return Poll::Ready(Err(Stopped::Cancelled));
        }
        if let Some(pause) = &mut this.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.pause = None;
        }
        let began = Instant::now();
        let limits = this.host.limits();
        let _acting = this.terms.acting.clone().map(|acting| this.host.act_as(&this.lua, acting));
        let armed = limits.arm_turn(this.deadline(began), SLICE, (this.top, this.terms.cancel.clone()));
        let polled = Pin::new(&mut this.inner).poll(cx);
        let late = limits.expired();
        drop(armed);
        if this.terms.cancel.as_ref().is_some_and(|cancel| cancel.is_asked()) {
            return Poll::Ready(Err(Stopped::Cancelled));
        }
        if late {
            return Poll::Ready(Err(Stopped::Late(limits.place())));
        }
        if let Some(left) = &mut this.terms.computing {
            *left = left.saturating_sub(began.elapsed());
        }
        if limits.preempted() {
            this.pause = Some(Box::pin(tokio::task::yield_now()));
        }
        polled.map_err(Stopped::Failed)
    }
}
