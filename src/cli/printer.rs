//! The thread that writes: lines, events and notes, in the order they came.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc::UnboundedReceiver;

use super::exit::Failure;
use super::notes::{Note, Notes};
use super::paint::Tone;
use crate::core::{Cause, Event, EventKind, ProcessId, StateName};
use crate::{Events, Line, Lines, Next, Supervisor, WeakSupervisor};

/// No more than this is taken at once, but for what belongs before it.
const LARGEST_BATCH: usize = 512;

/// Which events are shown.
pub(super) type Filter = fn(&Event) -> bool;

/// A place where it is shown. One thread has it, so that a reader that stalls holds up nothing else.
pub(super) trait Show {
    /// Shows a line that a process printed.
    fn line(&mut self, line: &Line);
    /// Says what happened, if it is worth it.
    fn event(&mut self, event: &Event);
    /// Says something of Neap's own.
    fn note(&mut self, tone: Tone, text: &str);
    /// Writes out what is pending.
    fn flush(&mut self);
    /// Whether whoever read this has gone.
    fn is_gone(&self) -> bool;
}

/// What is printed, and where.
pub(super) struct Printing<S> {
    /// Where.
    pub(super) screen: S,
    /// Whether what processes print is.
    pub(super) lines: bool,
    /// Which events.
    pub(super) filter: Filter,
    /// Where Neap's own notes are handed in.
    pub(super) notes: Notes,
    /// Where they come out.
    pub(super) pending: UnboundedReceiver<Note>,
}

/// What the printing thread has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Whoever read what is printed has gone.
    ReaderGone,
    /// The last line is printed.
    Done,
}

impl<S: Show + Send + 'static> Printing<S> {
    /// Begins to print what happens from now on. Returns where Neap's own notes are handed in.
    pub(super) fn begin(self, supervisor: &Supervisor, tell: impl Fn(Told) + Send + 'static) -> Result<Notes, Failure> {
        let Printing { screen, lines, filter, notes, pending } = self;
        let (lines, events) = (lines.then(|| supervisor.output()), supervisor.events());
        let knows = lines.is_some().then(|| supervisor.downgrade());
        let printer = Printer { screen, filter, tell, told: false, supervisor: knows, left: Vec::new() };
        let thread = std::thread::Builder::new().name("neap-print".into());
        let thread = thread.spawn(move || printer.run(lines, events, pending));
        thread.map(|_| notes).map_err(|error| Failure::new(format!("cannot make a thread: {error}")))
    }
}

struct Printer<S, T> {
    screen: S,
    filter: Filter,
    tell: T,
    told: bool,
    /// Who knows what belongs before what came.
    supervisor: Option<WeakSupervisor>,
    /// Lines of which the news that belongs before them is not fetched yet.
    left: Vec<Next<Line>>,
}

/// What came in since the last time.
#[derive(Default)]
struct Batch {
    notes: Vec<Note>,
    lines: Vec<Next<Line>>,
    events: Vec<Next<Event>>,
}

impl Batch {
    fn len(&self) -> usize {
        self.notes.len() + self.lines.len() + self.events.len()
    }
}

/// Where it all comes from; what has ended is gone.
struct Sources {
    lines: Option<Lines>,
    events: Option<Events>,
    notes: Option<UnboundedReceiver<Note>>,
}

impl Sources {
    /// Whether there will be more.
    fn are_open(&self) -> bool {
        self.lines.is_some() || self.events.is_some() || self.notes.is_some()
    }

    /// Takes all that is there, up to a limit. Whether there was anything, the end of a source included.
    fn take(&mut self, context: &mut Context<'_>, batch: &mut Batch) -> bool {
        let mut any = false;
        while batch.len() < LARGEST_BATCH {
            let note = self.notes.as_mut().map(|notes| notes.poll_recv(context));
            let event = self.events.as_mut().map(|events| pin!(events.next()).poll(context));
            let line = self.lines.as_mut().map(|lines| pin!(lines.next()).poll(context));
            let came = [
                keep(&mut self.notes, note, &mut batch.notes),
                keep(&mut self.events, event, &mut batch.events),
                keep(&mut self.lines, line, &mut batch.lines),
            ];
            if came == [false; 3] {
                break;
            }
            any = true;
        }
        any
    }
}

/// Keeps what came of a source, or lets go of the source at its end. Whether anything came.
fn keep<S, T>(source: &mut Option<S>, came: Option<Poll<Option<T>>>, kept: &mut Vec<T>) -> bool {
    match came {
        Some(Poll::Ready(Some(item))) => kept.push(item),
        Some(Poll::Ready(None)) => *source = None,
        Some(Poll::Pending) | None => return false,
    }
    true
}

/// Takes all that there is of a source now.
fn take_all<S, T>(source: &mut Option<S>, kept: &mut Vec<T>, mut next: impl FnMut(&mut S) -> Poll<Option<T>>) {
    loop {
        let came = source.as_mut().map(&mut next);
        if !keep(source, came, kept) {
            return;
        }
    }
}

impl<S: Show, T: Fn(Told)> Printer<S, T> {
    fn run(mut self, lines: Option<Lines>, events: Events, notes: UnboundedReceiver<Note>) {
        let mut sources = Sources { lines, events: Some(events), notes: Some(notes) };
        // Only an executor: it needs neither clock nor sockets.
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() {
            while sources.are_open() || !self.left.is_empty() {
                let batch = runtime.block_on(self.next_batch(&mut sources));
                self.print(batch);
            }
        }
        self.screen.flush();
        (self.tell)(Told::Done);
    }

    /// Waits for something to print, and fetches what belongs before it.
    async fn next_batch(&mut self, sources: &mut Sources) -> Batch {
        let mut batch = Batch { lines: std::mem::take(&mut self.left), ..Batch::default() };
        let mut waits = batch.lines.is_empty();
        poll_fn(|context| {
            if sources.take(context, &mut batch) || !waits {
                return Poll::Ready(());
            }
            // Nothing for now: time to show what is there.
            self.screen.flush();
            waits = true;
            Poll::Pending
        })
        .await;
        self.complete(sources, &mut batch).await;
        batch
    }

    /// What processes print and what becomes of them come from two threads, either of which may be late. Fetches the news
    /// of all that happened before these lines, and then the last lines of those of whose end there is news.
    async fn complete(&mut self, sources: &mut Sources, batch: &mut Batch) {
        let Some(supervisor) = self.supervisor.as_ref().and_then(WeakSupervisor::upgrade) else { return };
        // One that has ended has told all; what was printed comes before the end of the lines, then.
        let mut ended = false;
        if !batch.lines.is_empty() {
            ended = supervisor.await_news().is_err();
            poll_fn(|context| {
                take_all(&mut sources.events, &mut batch.events, |events| pin!(events.next()).poll(context));
                Poll::Ready(())
            })
            .await;
        }
        let mut executed = BTreeSet::new();
        let news = batch.events.iter().filter_map(|next| match next {
            Next::Item(event) => Some(event),
            Next::Lagged(_) => None,
        });
        let (quiet, names): (BTreeSet<ProcessId>, BTreeSet<Arc<str>>) = news
            .filter(|event| comes_after_lines(event, &mut executed))
            .filter_map(|event| Some((event.process?, event.name.clone()?)))
            .unzip();
        if quiet.is_empty() || sources.lines.is_none() {
            return;
        }
        ended |= supervisor.await_lines(quiet).is_err();
        drop(supervisor);
        let mut lines = Vec::new();
        poll_fn(|context| {
            take_all(&mut sources.lines, &mut lines, |lines| pin!(lines.next()).poll(context));
            if ended && sources.lines.is_some() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        // Of the others' lines there may be news that is not fetched.
        let is_asked = |next: &Next<Line>| matches!(next, Next::Item(line) if names.contains(&line.process));
        let (asked, left) = lines.into_iter().partition(is_asked);
        batch.lines.extend::<Vec<Next<Line>>>(asked);
        self.left = left;
    }

    /// What a process prints and what becomes of it come from two threads: its start is put before its first line, and
    /// its last line before its end.
    fn print(&mut self, batch: Batch) {
        let Batch { notes, mut lines, events } = batch;
        let (late, early): (Vec<Note>, Vec<Note>) = notes.into_iter().partition(|note| note.of_script);
        early.iter().for_each(|note| self.screen.note(note.tone, &note.text));
        let mut executed = BTreeSet::new();
        for next in &events {
            if let Next::Item(event) = next
                && comes_after_lines(event, &mut executed)
            {
                lines.retain(|next| {
                    let its_own = matches!(next, Next::Item(line) if Some(&line.process) == event.name.as_ref());
                    if its_own {
                        self.line(next);
                    }
                    !its_own
                });
            }
            self.event(next);
        }
        lines.iter().for_each(|next| self.line(next));
        late.iter().for_each(|note| self.screen.note(note.tone, &note.text));
        if self.screen.is_gone() && !self.told {
            self.told = true;
            (self.tell)(Told::ReaderGone);
        }
    }

    fn event(&mut self, next: &Next<Event>) {
        match next {
            Next::Item(event) if (self.filter)(event) => self.screen.event(event),
            // What became of each process, the summary says.
            Next::Item(_) | Next::Lagged(_) => {}
        }
    }

    fn line(&mut self, next: &Next<Line>) {
        match next {
            Next::Item(line) => self.screen.line(line),
            Next::Lagged(lost) => {
                let text = format!("{lost} lines were not shown: printing is slower than they came");
                self.screen.note(Tone::Warn, &text);
            }
        }
    }
}

/// Whether what its process printed comes before this event: its end, or that it is ready because of what it printed or
/// did. (That it is ready because it was executed comes before.)
fn comes_after_lines(event: &Event, executed: &mut BTreeSet<Option<ProcessId>>) -> bool {
    match &event.kind {
        EventKind::Executed { .. } => {
            executed.insert(event.process);
            false
        }
        EventKind::State { to: StateName::Running, .. } => !executed.contains(&event.process),
        EventKind::State { to: StateName::Stopping, .. } => matches!(event.cause, Cause::Ended(_)),
        EventKind::State { to, .. } => !matches!(to, StateName::Created | StateName::Waiting | StateName::Starting),
        EventKind::ProcessExited { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {

    use super::{Batch, Filter, Printer, Told};
    use crate::cli::narrate::Talk;
    use crate::cli::paint::Paint;
    use crate::cli::screen::{Look, Screen};
    use crate::core::{Cause, Ending, Event, EventKind, ExitStatus, Pid, ProcessId, StateName, WallTime};
    use crate::{Line, Next, StreamKind};

    const EVERYTHING: Filter = |_| true;
    const NAMES: [&str; 2] = ["a", "b"];

    fn event(process: u64, kind: EventKind) -> Next<Event> {
        let cause = match &kind {
            EventKind::State { to: StateName::Stopping, .. } => Cause::Ended(Ending::Exit(ExitStatus::Code(1))),
            _ => Cause::Progress,
        };
        let name = NAMES[usize::try_from(process).unwrap()].into();
        let process = Some(ProcessId(process));
        Next::Item(Event {
            sequence: 0,
            time: WallTime(0),
            process,
            name: Some(name),
            run: None,
            kind,
            cause,
            caller: None,
        })
    }

    fn to(process: u64, to: StateName) -> Next<Event> {
        event(process, EventKind::State { from: StateName::Created, to, reason: String::new(), retry_in: None })
    }

    fn line(process: &str, text: &str) -> Next<Line> {
        let text = text.as_bytes().to_vec();
        Next::Item(Line {
            process: process.into(),
            stream: StreamKind::Stdout,
            text,
            partial: false,
            time: None,
            run: 0,
        })
    }

    fn printed(events: Vec<Next<Event>>, lines: Vec<Next<Line>>) -> Vec<String> {
        let mut out = Vec::new();
        let look = Look { paint: Paint::off(), terminal: false, talk: Talk::Normal };
        let screen = Screen::new(&mut out, look, NAMES.into_iter());
        let mut printer =
            Printer { screen, filter: EVERYTHING, tell: |_: Told| (), told: false, supervisor: None, left: Vec::new() };
        printer.print(Batch { notes: Vec::new(), lines, events });
        drop(printer);
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_start_comes_before_the_first_line() {
        let executed = event(0, EventKind::Executed { pid: Pid(7) });
        let events = vec![to(0, StateName::Starting), executed, to(0, StateName::Running)];
        let shown = printed(events, vec![line("a", "hello")]);
        assert_eq!(shown, ["a    * starting", "a    * running (pid 7)", "a    | hello"]);
    }

    #[test]
    fn the_line_that_made_it_ready_comes_before_that_news() {
        let events = vec![to(0, StateName::Running), to(1, StateName::Starting)];
        let shown = printed(events, vec![line("a", "listening")]);
        assert_eq!(shown, ["a    | listening", "a    * running", "b    * starting"]);
    }

    #[test]
    fn the_last_line_comes_before_the_end_and_others_stay_behind() {
        let events = vec![to(0, StateName::Stopping), to(0, StateName::Stopped)];
        let shown = printed(events, vec![line("b", "bye"), line("a", "last words")]);
        assert_eq!(shown, ["a    | last words", "a    * stopped", "b    | bye"]);
    }
}
