//! A session of Lua in the instance, from its client's side: texts in; what they print and come to, out.
//!
//! A thread reads what comes. What belongs to the text that is evaluated goes to whoever waits for it, candidates to the
//! completion, and everything else aside: it may come at any time, and must hold up nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::context::{Context, failure};
use super::follow::{again, passes};
use super::link::{Client, ClientError, Stream};
use crate::cli::exit::Failure;
use crate::instance::places::Candidates;
use crate::rpc::proto::v1::{
    EvalCancel, EvalCandidates, EvalComplete, EvalError, EvalFollow, EvalHello, EvalLine, EvalOpen, EvalRequest,
    EvalResponse, EvalResult, Event, eval_request, eval_response,
};

/// What is read ahead of whoever prints it; then the instance has to wait.
const READ_AHEAD: usize = 256;
/// Asides that wait to be shown; more are counted.
const ASIDES: usize = 1_024;
/// Completion is worth no more waiting than this.
const COMPLETION: Duration = Duration::from_secs(2);
/// An instance that should have cut a text off has this much longer to say so.
const GRACE: Duration = Duration::from_secs(5);

/// What an evaluation came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was evaluated.
    Value(EvalResult),
    /// It failed, or is not whole.
    Failed(EvalError),
    /// The connection ended meanwhile: nobody knows what it came to.
    Lost(String),
    /// There is no instance any more.
    Ended(String),
    /// It was cancelled, and even that was not waited for.
    GivenUp,
    /// The instance should have cut it off, and says nothing.
    Silent,
}

/// What comes without having been asked for.
#[derive(Debug)]
pub(super) enum Aside {
    /// Something happened.
    Event(Box<Event>),
    /// So many events are missing.
    Lag(u64),
    /// Something about the session.
    Notice(String),
    /// The connection ended, for this reason.
    Lost(String),
    /// There is a new session.
    Renewed(EvalHello),
    /// There is none any more.
    Ended(String),
}

enum News {
    Print(u64, String),
    Answer(u64, Box<Answer>),
    Interrupted,
    Lost(String),
    Renewed,
    Ended(String),
}

enum Answer {
    Value(EvalResult),
    Failed(EvalError),
}

/// What prints what a text prints, as it comes.
pub(super) type Print<'a> = &'a mut dyn FnMut(&str) -> Result<(), Failure>;

/// How a session is opened.
pub(super) struct Opening {
    /// Its terms.
    pub(super) terms: EvalOpen,
    /// Whether a new one takes its place when the connection ends.
    pub(super) renew: bool,
}

/// An open session.
pub(super) struct Opened {
    /// Evaluates.
    pub(super) session: Session,
    /// Completes.
    pub(super) asker: Asker,
    /// What comes aside.
    pub(super) asides: Receiver<Aside>,
    /// How the instance greets.
    pub(super) hello: EvalHello,
}

/// What all its threads know.
struct Shared {
    /// Where requests go, while there is a connection.
    outbox: Mutex<Option<UnboundedSender<EvalRequest>>>,
    /// The text that is evaluated, or 0. What others print is of no interest any more.
    current: AtomicU64,
    /// Whether events are wanted.
    following: AtomicBool,
    last: AtomicU64,
}

impl Shared {
    fn put(&self, sender: Option<UnboundedSender<EvalRequest>>) {
        *self.outbox.lock().unwrap_or_else(PoisonError::into_inner) = sender;
    }

    fn send(&self, item: eval_request::Item) -> bool {
        let outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.as_ref().is_some_and(|outbox| outbox.send(EvalRequest { item: Some(item) }).is_ok())
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn follow(&self) {
        let events = self.following.load(Ordering::Relaxed);
        self.send(eval_request::Item::Follow(EvalFollow { events }));
    }
}

/// A session that texts are evaluated in, one after another.
pub(super) struct Session {
    shared: Arc<Shared>,
    news: Receiver<News>,
    state: State,
}

enum State {
    Open,
    Lost,
    Ended(String),
}

impl Session {
    /// Opens one. INT is blocked from here on, and cancels what is evaluated.
    pub(super) fn open(context: &Context, opening: Opening) -> Result<Opened, Failure> {
        let mut client = context.another()?;
        let (sender, stream, hello) = greet(&mut client, &opening.terms).map_err(|error| failure(&error))?;
        let shared = Arc::new(Shared {
            outbox: Mutex::new(Some(sender)),
            current: AtomicU64::new(0),
            following: AtomicBool::new(false),
            last: AtomicU64::new(0),
        });
        let (sender, news) = sync_channel(READ_AHEAD);
        let (candidates_sender, candidates) = channel();
        let (aside, asides) = sync_channel(ASIDES);
        let asides_sender = Asides { sender: aside, lost: 0 };
        watch_interrupts(sender.clone())?;
        let renewal = opening.renew.then(|| Renewal { places: context.candidates().clone(), terms: opening.terms });
        let shared_here = Arc::clone(&shared);
        let mut reader =
            Reader { shared: shared_here, news: sender, candidates: candidates_sender, asides: asides_sender };
        spawn(move || reader.read(client, stream, renewal))?;
        let asker = Asker { shared: Arc::clone(&shared), candidates };
        let session = Session { shared, news, state: State::Open };
        Ok(Opened { session, asker, asides, hello })
    }

    /// Evaluates a text. What is left of an earlier one that was given up is not shown.
    pub(super) fn evaluate(
        &mut self,
        text: &str,
        timeout: Option<Duration>,
        print: Print<'_>,
    ) -> Result<Outcome, Failure> {
        if let Some(outcome) = self.settle() {
            return Ok(outcome);
        }
        let id = self.shared.next();
        self.shared.current.store(id, Ordering::SeqCst);
        let millis = timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let line = EvalLine { id, text: text.to_owned(), timeout: millis };
        // When it cannot be sent, the news of that are on their way.
        self.shared.send(eval_request::Item::Line(line));
        let outcome = self.outcome(id, timeout.map(|timeout| Instant::now() + timeout + GRACE), print);
        self.shared.current.store(0, Ordering::SeqCst);
        if outcome.is_err() {
            self.shared.send(eval_request::Item::Cancel(EvalCancel { id }));
        }
        outcome
    }

    /// Waits until it is known whether there is a session. While there is none, only Ctrl-C ends the waiting early.
    fn settle(&mut self) -> Option<Outcome> {
        loop {
            let next = match &self.state {
                State::Open => match self.news.try_recv() {
                    Ok(next) => next,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
                },
                State::Ended(why) => return Some(Outcome::Ended(why.clone())),
                State::Lost => match self.news.recv() {
                    Ok(News::Interrupted) => return Some(Outcome::GivenUp),
                    Ok(next) => next,
                    Err(_) => return Some(Outcome::Ended("nobody reads its answers any more".to_owned())),
                },
            };
            self.note(&next);
        }
    }

    fn note(&mut self, news: &News) {
        match news {
            News::Lost(_) => self.state = State::Lost,
            News::Renewed => self.state = State::Open,
            News::Ended(why) => self.state = State::Ended(why.clone()),
            News::Print(..) | News::Answer(..) | News::Interrupted => {}
        }
    }

    fn outcome(&mut self, id: u64, deadline: Option<Instant>, print: Print<'_>) -> Result<Outcome, Failure> {
        let mut cancelled = false;
        loop {
            let next = match deadline {
                None => self.news.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline) => self.news.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok(News::Print(of, text)) if of == id => print(&text)?,
                Ok(News::Answer(of, answer)) if of == id => {
                    return Ok(match *answer {
                        Answer::Value(value) => Outcome::Value(value),
                        Answer::Failed(error) => Outcome::Failed(error),
                    });
                }
                Ok(News::Print(..) | News::Answer(..)) => {}
                Ok(News::Interrupted) if cancelled => return Ok(Outcome::GivenUp),
                Ok(News::Interrupted) => {
                    cancelled = true;
                    self.shared.send(eval_request::Item::Cancel(EvalCancel { id }));
                }
                Ok(news) => {
                    self.note(&news);
                    if let News::Lost(why) | News::Ended(why) = news {
                        return Ok(Outcome::Lost(why));
                    }
                    // A new session knows nothing of this text.
                    return Ok(Outcome::Lost("the supervisor was replaced".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Outcome::Silent),
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(Outcome::Lost("nobody reads its answers any more".to_owned()));
                }
            }
        }
    }

    /// From now on shows events, or does not. They come aside.
    pub(super) fn follow(&self, events: bool) {
        self.shared.following.store(events, Ordering::Relaxed);
        self.shared.follow();
    }
}

/// Asks for completions. For the thread that edits the line.
pub(super) struct Asker {
    shared: Arc<Shared>,
    candidates: Receiver<EvalCandidates>,
}

impl Asker {
    /// What could stand at the cursor; nothing if nobody answers soon.
    pub(super) fn complete(&self, text: &str, cursor: usize) -> Option<EvalCandidates> {
        let id = self.shared.next();
        let cursor = u32::try_from(cursor).ok()?;
        if !self.shared.send(eval_request::Item::Complete(EvalComplete { id, text: text.to_owned(), cursor })) {
            return None;
        }
        let deadline = Instant::now() + COMPLETION;
        loop {
            match self.candidates.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(candidates) if candidates.id == id => return Some(candidates),
                // Of an earlier question, too late.
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

/// What a new session is opened with.
struct Renewal {
    places: Candidates,
    terms: EvalOpen,
}

/// The thread that reads.
struct Reader {
    shared: Arc<Shared>,
    news: SyncSender<News>,
    candidates: Sender<EvalCandidates>,
    asides: Asides,
}

impl Reader {
    fn read(&mut self, mut client: Client, mut stream: Stream<EvalResponse>, renewal: Option<Renewal>) {
        loop {
            let why = self.pump(stream);
            self.shared.put(None);
            self.asides.put(Aside::Lost(why.clone()));
            if self.news.send(News::Lost(why)).is_err() {
                return;
            }
            let Some(renewal) = &renewal else { return };
            match renew(renewal) {
                Ok((next, sender, items, hello)) => {
                    (client, stream) = (next, items);
                    self.shared.put(Some(sender));
                    if self.shared.following.load(Ordering::Relaxed) {
                        self.shared.follow();
                    }
                    self.asides.put(Aside::Renewed(hello));
                    if self.news.send(News::Renewed).is_err() {
                        return;
                    }
                }
                Err(why) => {
                    self.asides.put(Aside::Ended(why.clone()));
                    // Nobody is there any more to be told.
                    let _ = self.news.send(News::Ended(why));
                    drop(client);
                    return;
                }
            }
        }
    }

    /// Reads to the end, and says why there was one.
    fn pump(&mut self, stream: Stream<EvalResponse>) -> String {
        for next in stream {
            match next {
                Ok(EvalResponse { item: Some(item) }) => {
                    if !self.take(item) {
                        return "nobody listens any more".to_owned();
                    }
                }
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
        "the instance has ended the session".to_owned()
    }

    fn take(&mut self, item: eval_response::Item) -> bool {
        use eval_response::Item;
        let wanted = |id| self.shared.current.load(Ordering::SeqCst) == id;
        match item {
            Item::Print(print) if wanted(print.id) => self.news.send(News::Print(print.id, print.text)).is_ok(),
            Item::Result(value) if wanted(value.id) => {
                self.news.send(News::Answer(value.id, Answer::Value(value).into())).is_ok()
            }
            Item::Error(error) if wanted(error.id) => {
                self.news.send(News::Answer(error.id, Answer::Failed(error).into())).is_ok()
            }
            Item::Print(_) | Item::Result(_) | Item::Error(_) => true,
            // Who edits no lines has dropped the other end.
            Item::Candidates(candidates) => {
                let _ = self.candidates.send(candidates);
                true
            }
            Item::Event(event) => self.asides.put(Aside::Event(Box::new(event))),
            Item::Lag(lag) => self.asides.put(Aside::Lag(lag.lost)),
            Item::Notice(text) => self.asides.put(Aside::Notice(text)),
            Item::Hello(_) => true,
        }
    }
}

/// What is shown when it can be.
struct Asides {
    sender: SyncSender<Aside>,
    lost: u64,
}

impl Asides {
    /// Never waits. Says true, for a reader that goes on anyway.
    fn put(&mut self, aside: Aside) -> bool {
        if self.lost > 0 && self.sender.try_send(Aside::Lag(self.lost)).is_ok() {
            self.lost = 0;
        }
        if let Err(TrySendError::Full(_)) = self.sender.try_send(aside) {
            self.lost += 1;
        }
        true
    }
}

type Greeting = (UnboundedSender<EvalRequest>, Stream<EvalResponse>, EvalHello);

fn greet(client: &mut Client, terms: &EvalOpen) -> Result<Greeting, ClientError> {
    let (sender, requests) = unbounded_channel();
    // The other end is here.
    let _ = sender.send(EvalRequest { item: Some(eval_request::Item::Open(terms.clone())) });
    let mut stream = client.eval(requests)?;
    match stream.next() {
        Some(Ok(EvalResponse { item: Some(eval_response::Item::Hello(hello)) })) => Ok((sender, stream, hello)),
        Some(Ok(_)) => Err(ClientError::Lost("it does not greet: it speaks another version".to_owned())),
        Some(Err(error)) => Err(error),
        None => Err(ClientError::Lost("it ended the session at once".to_owned())),
    }
}

fn renew(renewal: &Renewal) -> Result<(Client, UnboundedSender<EvalRequest>, Stream<EvalResponse>, EvalHello), String> {
    loop {
        let mut client = again(&renewal.places).ok_or("the instance has ended")?;
        match greet(&mut client, &renewal.terms) {
            Ok((sender, stream, hello)) => return Ok((client, sender, stream, hello)),
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// INT is taken by a thread from here on. Those that are made later inherit that it is blocked.
fn watch_interrupts(sender: SyncSender<News>) -> Result<(), Failure> {
    let set: SigSet = [Signal::SIGINT].into_iter().collect();
    set.thread_block().map_err(|errno| Failure::new(format!("cannot block signals: {errno}")))?;
    spawn(move || {
        while set.wait().is_ok() {
            if sender.send(News::Interrupted).is_err() {
                return;
            }
        }
    })
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let spawned = std::thread::Builder::new().name("neap-session".into()).spawn(body);
    spawned.map(drop).map_err(|error| Failure::new(format!("cannot make a thread: {error}")))
}
