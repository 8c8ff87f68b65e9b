//! The thread that writes: lines, events and notes, in the order they came.

use std::future::{Future, poll_fn};
use std::io::Write;
use std::pin::pin;
use std::task::Poll;

use tokio::sync::mpsc::UnboundedReceiver;

use super::exit::Failure;
use super::notes::{Note, Notes};
use super::paint::Tone;
use super::screen::Screen;
use crate::core::Event;
use crate::{Events, Line, Lines, Next, Supervisor};

/// Which events are shown.
pub(super) type Filter = fn(&Event) -> bool;

/// What is printed, and where.
pub(super) struct Printing<W> {
    /// Where.
    pub(super) screen: Screen<W>,
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

impl<W: Write + Send + 'static> Printing<W> {
    /// Begins to print what happens from now on. Returns where Neap's own notes are handed in.
    pub(super) fn begin(self, supervisor: &Supervisor, tell: impl Fn(Told) + Send + 'static) -> Result<Notes, Failure> {
        let Printing { screen, filter, notes, pending } = self;
        let (lines, events) = (supervisor.output(), supervisor.events());
        let printer = Printer { screen, filter, tell, told: false };
        let thread = std::thread::Builder::new().name("neap-print".into());
        let thread = thread.spawn(move || printer.run(lines, events, pending));
        thread.map(|_| notes).map_err(|error| Failure::new(format!("cannot make a thread: {error}")))
    }
}

struct Printer<W, T> {
    screen: Screen<W>,
    filter: Filter,
    tell: T,
    told: bool,
}

/// What there is to print next.
enum Item {
    Line(Option<Next<Line>>),
    Event(Option<Next<Event>>),
    Note(Option<Note>),
}

impl<W: Write, T: Fn(Told)> Printer<W, T> {
    fn run(mut self, lines: Lines, events: Events, notes: UnboundedReceiver<Note>) {
        // Only an executor: it needs neither clock nor sockets.
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() {
            runtime.block_on(self.print(lines, events, notes));
        }
        self.screen.flush();
        (self.tell)(Told::Done);
    }

    /// Until all three have ended. Lines first: what a process printed last comes before the news of its end.
    async fn print(&mut self, mut lines: Lines, mut events: Events, mut notes: UnboundedReceiver<Note>) {
        let mut open = [true; 3];
        while open.contains(&true) {
            let item = {
                let mut line = pin!(lines.next());
                let mut event = pin!(events.next());
                poll_fn(|context| {
                    if open[0]
                        && let Poll::Ready(line) = line.as_mut().poll(context)
                    {
                        return Poll::Ready(Item::Line(line));
                    }
                    if open[1]
                        && let Poll::Ready(event) = event.as_mut().poll(context)
                    {
                        return Poll::Ready(Item::Event(event));
                    }
                    if open[2]
                        && let Poll::Ready(note) = notes.poll_recv(context)
                    {
                        return Poll::Ready(Item::Note(note));
                    }
                    // Nothing for now: time to show what is there.
                    self.screen.flush();
                    Poll::Pending
                })
                .await
            };
            match item {
                Item::Line(None) => open[0] = false,
                Item::Event(None) => open[1] = false,
                Item::Note(None) => open[2] = false,
                Item::Line(Some(Next::Item(line))) => self.screen.line(&line),
                Item::Event(Some(Next::Item(event))) if (self.filter)(&event) => self.screen.event(&event),
                Item::Event(Some(_)) => {}
                Item::Line(Some(Next::Lagged(lost))) => {
                    self.screen
                        .note(Tone::Warn, &format!("{lost} lines were not shown: printing is slower than they came"));
                }
                Item::Note(Some(note)) => self.screen.note(note.tone, &note.text),
            }
            self.tell_if_gone();
        }
    }

    fn tell_if_gone(&mut self) {
        if self.screen.is_gone() && !self.told {
            self.told = true;
            (self.tell)(Told::ReaderGone);
        }
    }
}
