//! What a task's function is given: how it hears that it is to end, and tells how it is.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::shared::{Message, Shared};
use crate::core::{Input, Notification, RunId};
use crate::log::Voice;

/// How a run of a task ends: well, or with an error whose text is the reason that everybody sees.
///
/// ```
/// fn parse(text: &str) -> neap::TaskResult {
///     let _number: u32 = text.parse()?; // any error will do
///     Err("only words are left".into())
/// }
/// assert_eq!(parse("7").unwrap_err().to_string(), "only words are left");
/// ```
pub type TaskResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// No status is longer.
const MAX_STATUS: usize = 4096;

/// One run of a task, as its function sees it. Cheap to clone, for helpers of the task's own; what a clone says once the
/// run is over is not heard.
#[derive(Clone)]
pub struct Task {
    name: Arc<str>,
    run: RunId,
    shared: Arc<Shared>,
    cancelled: watch::Receiver<bool>,
    voice: Option<Arc<Voice>>,
}

impl Task {
    pub(crate) fn new(
        name: Arc<str>,
        run: RunId,
        shared: Arc<Shared>,
        cancelled: watch::Receiver<bool>,
        voice: Option<Arc<Voice>>,
    ) -> Task {
        Task { name, run, shared, cancelled, voice }
    }

    /// The task's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which run this is: each has another number.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Comes when the run is to end: it was stopped, by whomever. What has not ended when the wait of the spec's `stop` is
    /// over is dropped.
    pub async fn cancelled(&self) {
        let mut cancelled = self.cancelled.clone();
        // Without a sender the run is over.
        let _ = cancelled.wait_for(|cancelled| *cancelled).await;
    }

    /// Whether the run is to end.
    pub fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow() || self.cancelled.has_changed().is_err()
    }

    /// Says that it is ready. For a task whose spec says that it tells so itself (`ready(Ready::Notify)` or
    /// `process_type(ProcessType::Notify)`); any other is ready once it runs.
    pub fn ready(&self) {
        self.tell(Notification::Ready);
    }

    /// Says how it is, in a line for people; shown beside its state.
    pub fn status(&self, text: impl Into<String>) {
        let text: String = text.into();
        self.tell(Notification::Status(text.chars().take(MAX_STATUS).collect()));
    }

    /// Says that it is alive, where its spec has a `watchdog`.
    pub fn alive(&self) {
        self.tell(Notification::Watchdog);
    }

    /// Adds a line to its log, which takes it like any output: into memory, to who follows, to the file. It does not wait
    /// for a disk: lines that find no room are counted there instead.
    pub fn log(&self, line: impl AsRef<str>) {
        if let Some(voice) = &self.voice {
            voice.say(line.as_ref());
        }
    }

    fn tell(&self, notification: Notification) {
        // An engine that has ended has nobody to tell.
        let _ = self.shared.mailbox.post(Message::Input(Input::Notified(self.run, notification)));
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name).field("run", &self.run).finish_non_exhaustive()
    }
}
