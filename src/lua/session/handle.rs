//! A session as others see it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, UnboundedSender, unbounded_channel};

use super::answer::Item;
use super::outlet::{Outlet, WeakOutlet};
use super::serve::{self, Line, Question, Setup};
use crate::lock::lock;
use crate::lua::runtime::Generation;
use crate::lua::turns::Cancel;

/// Lines of a session that may wait for those before them; and questions of it that may wait for their answers.
const WAITING: usize = 64;

/// What a session is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRequest {
    /// Refuse what changes anything.
    pub read_only: bool,
    /// Columns that results may take.
    pub width: usize,
    /// What errors call its lines.
    pub name: String,
    /// Who is behind it, for events.
    pub caller: String,
}

impl Default for SessionRequest {
    fn default() -> Self {
        SessionRequest { read_only: false, width: 100, name: "repl".into(), caller: "a session".into() }
    }
}

/// The lines that are not answered yet.
pub(super) type Open = Arc<Mutex<BTreeMap<u64, Arc<Cancel>>>>;

/// A session on the thread of a generation, whose functions it keeps callable. Dropped, what it evaluates is given up.
pub struct Session {
    number: u64,
    /// Not what keeps the items coming.
    outlet: WeakOutlet,
    generation: Generation,
    /// Until no more lines are to come.
    queue: Option<UnboundedSender<Line>>,
    open: Open,
    /// Shared with each question that is not answered yet.
    questions: Arc<()>,
}

/// What comes of a session, until it is dropped.
pub struct Items(Receiver<Item>);

impl Items {
    /// The next one. What is not taken holds up the session, and nobody else.
    pub async fn next(&mut self) -> Option<Item> {
        self.0.recv().await
    }

    /// [`next`](Items::next) for plain threads.
    pub fn next_blocking(&mut self) -> Option<Item> {
        self.0.blocking_recv()
    }
}

impl Session {
    /// Opens one on this generation.
    pub fn open(generation: &Generation, request: SessionRequest) -> (Session, Items) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (queue, lines) = unbounded_channel();
        let (outlet, items) = Outlet::new();
        let open = Open::default();
        let weak = outlet.downgrade();
        let setup = Setup { number, request, outlet, open: open.clone() };
        generation.job(Box::new(move |lua, host| serve::begin(lua, host, setup, lines)));
        (
            Session {
                number,
                outlet: weak,
                generation: generation.clone(),
                queue: Some(queue),
                open,
                questions: Arc::default(),
            },
            Items(items),
        )
    }

    /// The generation whose functions it sees.
    pub fn generation(&self) -> u64 {
        self.generation.number()
    }

    /// Evaluates a text, after those before it. Its answer, and what it prints, come as [`Item`]s with this number. It may
    /// compute for half a minute, and wait for as long as it likes; with a timeout it is cut off after that, whatever it
    /// does.
    ///
    /// # Errors
    /// Why it is not begun, as a sentence.
    pub fn evaluate(&self, id: u64, text: impl Into<String>, timeout: Option<Duration>) -> Result<(), String> {
        self.generation.responsive()?;
        let cancel = Arc::new(Cancel::default());
        let mut open = lock(&self.open);
        if open.len() >= WAITING {
            return Err(format!("{WAITING} lines wait for their answers already"));
        }
        if open.insert(id, cancel.clone()).is_some() {
            return Err(format!("line {id} is being evaluated already"));
        }
        drop(open);
        let line = Line { id, text: text.into(), timeout, cancel };
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(line).is_ok());
        if sent { Ok(()) } else { Err("the session is over; open another one".to_owned()) }
    }

    /// No more lines come. The items end once all are answered.
    pub fn finish(&mut self) {
        self.queue = None;
    }

    /// Asks what may stand at a place of a text, `cursor` bytes from its beginning. The answer comes as an [`Item`].
    ///
    /// # Errors
    /// That too many are unanswered, as a sentence.
    pub fn complete(&self, id: u64, text: impl Into<String>, cursor: usize) -> Result<(), String> {
        if Arc::strong_count(&self.questions) > WAITING {
            return Err(format!("{WAITING} questions wait for their answers already"));
        }
        let question = Question { id, text: text.into(), cursor, place: self.questions.clone() };
        let (number, outlet) = (self.number, self.outlet.clone());
        self.generation.job(Box::new(move |lua, host| {
            if let Some(outlet) = outlet.upgrade() {
                serve::answer((lua, host), number, question, outlet);
            }
        }));
        Ok(())
    }

    /// Gives up a line: at once, also when it computes or waits. It is answered as such; what it began goes on.
    pub fn cancel(&self, id: u64) {
        if let Some(cancel) = lock(&self.open).get(&id) {
            cancel.cancel();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        lock(&self.open).values().for_each(|cancel| cancel.cancel());
    }
}
