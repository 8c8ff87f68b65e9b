//! Asking for something that takes its time: what happens meanwhile is told, and Ctrl-C gives up the waiting alone.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

use super::context::{Context, failure};
use super::link::{Client, ClientError};
use super::table::cut;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure, INTERRUPTED};
use crate::cli::narrate::Talk;
use crate::cli::units::about;
use crate::rpc::proto::v1::{Event, GetStatusRequest, WatchRequest, watch_response};

/// The progress line appears after this, and is renewed as often.
const TICK: Duration = Duration::from_secs(1);

/// What comes while waiting.
enum News<T> {
    Event(Box<Event>),
    Answer(Result<T, ClientError>),
    Interrupted,
}

/// How long to wait, and for what.
pub(super) struct Patience<'a> {
    /// What is waited for, for the progress line: `web to be ready`.
    pub(super) what: &'a str,
    /// What goes on when the waiting is given up: `the stop`.
    pub(super) action: &'a str,
    /// No longer than this, when the server does not keep time itself.
    pub(super) timeout: Option<Duration>,
}

/// What is told on the way: nothing, or a line.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&Event) -> Option<String>;

/// Asks on a thread of its own, and tells what happens until the answer is there.
pub(super) fn wait<T: Send + 'static>(
    context: &mut Context,
    patience: &Patience<'_>,
    ask: impl FnOnce(&mut Client) -> Result<T, ClientError> + Send + 'static,
    tell: Tell<'_>,
) -> Result<Result<T, ClientError>, Failure> {
    let mut client = context.another()?;
    wait_for(context, patience, move || ask(&mut client), tell)
}

/// As [`wait`], for what connects by itself: the instance that this is about may just be going away.
pub(super) fn wait_for<T: Send + 'static>(
    context: &mut Context,
    patience: &Patience<'_>,
    ask: impl FnOnce() -> Result<T, ClientError> + Send + 'static,
    tell: Tell<'_>,
) -> Result<Result<T, ClientError>, Failure> {
    let (sender, news) = channel();
    watch_interrupts(sender.clone())?;
    watch_events(context, sender.clone());
    spawn(move || {
        // Nobody waits any more: the answer is of no use.
        let _ = sender.send(News::Answer(ask()));
    })?;
    let mut progress = Progress::new(context, patience.what);
    let result = listen(&news, patience, tell, &mut progress);
    progress.clear();
    result
}

fn listen<T>(
    news: &Receiver<News<T>>,
    patience: &Patience<'_>,
    tell: Tell<'_>,
    progress: &mut Progress,
) -> Result<Result<T, ClientError>, Failure> {
    let began = Instant::now();
    loop {
        let left = patience.timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
        let until = left.map_or(TICK, |left| left.min(TICK));
        match news.recv_timeout(until) {
            Ok(News::Answer(answer)) => return Ok(answer),
            Ok(News::Event(event)) => {
                progress.note(&event);
                if let Some(line) = tell(&event) {
                    progress.clear();
                    super::context::print(escape(line.as_bytes()).as_bytes())?;
                }
            }
            Ok(News::Interrupted) => {
                progress.clear();
                let text = format!("no longer waiting for {}; {} goes on", patience.what, patience.action);
                return Err(Failure::new(text).exit(INTERRUPTED));
            }
            Err(RecvTimeoutError::Timeout) if left.is_some_and(|left| left.is_zero()) => {
                let waited = about(began.elapsed());
                let text = format!("{} took longer than {waited}; it goes on", patience.action);
                return Err(Failure::new(text).exit(Exit::TimedOut));
            }
            Err(RecvTimeoutError::Timeout) => progress.show(began.elapsed()),
            // The thread that asks holds a sender until it has answered.
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::new("the waiting ended without an answer")),
        }
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let spawned = std::thread::Builder::new().spawn(body);
    spawned.map(drop).map_err(|error| Failure::new(format!("cannot make a thread: {error}")))
}

/// Who is told of an interrupt: whoever waits, or waited last.
static INTERRUPTED_IS: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);

/// INT and TERM are taken by a thread from here on. Those that it makes later inherit that they are blocked.
fn watch_interrupts<T: Send + 'static>(sender: Sender<News<T>>) -> Result<(), Failure> {
    let tell = Box::new(move || {
        let _ = sender.send(News::Interrupted);
    });
    let before = INTERRUPTED_IS.lock().unwrap_or_else(PoisonError::into_inner).replace(tell);
    if before.is_some() {
        return Ok(());
    }
    let set: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    set.thread_block().map_err(|errno| Failure::new(format!("cannot block signals: {errno}")))?;
    spawn(move || {
        while set.wait().is_ok() {
            if let Some(tell) = &*INTERRUPTED_IS.lock().unwrap_or_else(PoisonError::into_inner) {
                tell();
            }
        }
    })
}

/// Events from now on. Without them there is less to tell, and no more.
fn watch_events<T: Send + 'static>(context: &mut Context, sender: Sender<News<T>>) {
    let Ok(status) = context.call(|client| client.get_status(GetStatusRequest {})) else { return };
    let Ok(mut client) = context.another() else { return };
    let request = WatchRequest { after: Some(status.sequence), follow: true, names: Vec::new() };
    let Ok(stream) = client.watch(request) else { return };
    let _ = spawn(move || {
        // The stream is read through this connection.
        let _client = client;
        for next in stream {
            let Ok(next) = next else { return };
            if let Some(watch_response::Item::Event(event)) = next.item
                && sender.send(News::Event(Box::new(event))).is_err()
            {
                return;
            }
        }
    });
}

/// The line that says what is waited for, on a terminal.
struct Progress {
    on: bool,
    what: String,
    shown: bool,
    /// What was last said of those that are on their way.
    busy: BTreeMap<String, String>,
}

impl Progress {
    fn new(context: &Context, what: &str) -> Self {
        let voice = context.voice;
        let on = stderr().is_terminal() && voice.talk > Talk::Quiet && !voice.json;
        Progress { on, what: what.to_owned(), shown: false, busy: BTreeMap::new() }
    }

    fn note(&mut self, event: &Event) {
        let Some(name) = &event.process else { return };
        match event.kind.strip_prefix("process.") {
            Some("starting" | "stopping" | "waiting" | "backoff") => {
                self.busy.insert(name.clone(), event.text.clone());
            }
            Some("running" | "stopped" | "exited" | "failed" | "crashed" | "created") => {
                self.busy.remove(name);
            }
            _ => {}
        }
    }

    fn show(&mut self, waited: Duration) {
        if self.on {
            let width = terminal_size::terminal_size_of(stderr()).map_or(80, |(width, _)| usize::from(width.0));
            let line = cut(&self.line(waited), width.saturating_sub(1));
            // Nothing to be done about a stderr that takes nothing.
            let _ = write!(stderr(), "\r\x1b[K{line}");
            self.shown = true;
        }
    }

    fn line(&self, waited: Duration) -> String {
        let busy: Vec<String> = self.busy.iter().map(|(name, text)| format!("{name} {text}")).collect();
        let busy = if busy.is_empty() { String::new() } else { format!(": {}", busy.join(", ")) };
        escape(format!("waiting for {} ({}){busy}", self.what, about(waited)).as_bytes())
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// Turns what a call came to into what the command ends with.
pub(super) fn answer<T>(result: Result<T, ClientError>) -> Result<T, Failure> {
    result.map_err(|error| failure(&error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Progress;
    use crate::rpc::proto::v1::Event;

    fn event(kind: &str, process: &str, text: &str) -> Event {
        Event { kind: kind.into(), process: Some(process.into()), text: text.into(), ..Event::default() }
    }

    #[test]
    fn the_progress_line_names_what_is_on_its_way() {
        let mut progress = Progress { on: true, what: "web".into(), shown: false, busy: Default::default() };
        progress.note(&event("process.starting", "db", "starting"));
        progress.note(&event("process.waiting", "web", "waiting for `db`"));
        progress.note(&event("health.healthy", "db", "healthy"));
        let line = progress.line(Duration::from_secs(3));
        assert_eq!(line, "waiting for web (3 s): db starting, web waiting for `db`");
        progress.note(&event("process.running", "db", "running"));
        progress.note(&event("process.starting", "web", "starting \x1b[2J"));
        assert_eq!(progress.line(Duration::from_secs(4)), "waiting for web (4 s): web starting \\x1b[2J");
    }
}
