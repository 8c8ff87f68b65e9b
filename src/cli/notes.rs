//! What Neap and the configuration's scripts have to say, on its way to the screen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};

use super::paint::Tone;
use crate::lua::host::PrintSink;

/// Something to show that is neither a line nor an event.
pub(super) struct Note {
    /// Whether it is a script's, which speaks of what has happened; what Neap says is about to.
    pub(super) of_script: bool,
    /// How it looks.
    pub(super) tone: Tone,
    /// What it says.
    pub(super) text: String,
}

/// Where notes are handed in. Cheap to clone; none waits for the printing.
#[derive(Clone)]
pub(super) struct Notes(UnboundedSender<Note>);

impl Notes {
    /// Hands in a note.
    pub(super) fn say(&self, tone: Tone, text: impl Into<String>) {
        // Nobody prints any more: nothing to say it to.
        let _ = self.0.send(Note { of_script: false, tone, text: text.into() });
    }

    /// A way to hand in notes that does not keep the printing from ending.
    pub(super) fn downgrade(&self) -> WeakNotes {
        WeakNotes(self.0.downgrade())
    }

    /// Takes what the configuration prints and logs. It does not keep the printing from ending.
    pub(super) fn sink(&self, level: &Arc<AtomicUsize>) -> PrintSink {
        let (notes, level) = (self.0.downgrade(), Arc::clone(level));
        Arc::new(move |text| {
            let (rank, tone) = rank(text);
            if rank >= level.load(Ordering::Relaxed)
                && let Some(notes) = notes.upgrade()
            {
                let _ = notes.send(Note { of_script: true, tone, text: text.into() });
            }
        })
    }
}

/// Where notes are handed in while there is printing.
#[derive(Clone)]
pub(super) struct WeakNotes(WeakUnboundedSender<Note>);

impl WeakNotes {
    /// Hands in a note.
    pub(super) fn say(&self, tone: Tone, text: impl Into<String>) {
        if let Some(notes) = self.0.upgrade() {
            Notes(notes).say(tone, text);
        }
    }
}

/// The levels of `neap.log`, the least serious first, and how each looks.
const LEVELS: [(&str, Tone); 5] =
    [("trace", Tone::Faint), ("debug", Tone::Faint), ("info", Tone::Plain), ("warn", Tone::Warn), ("error", Tone::Bad)];

/// The place of a level among them; that of `info` for what is none.
pub(super) fn rank_of(level: &str) -> usize {
    LEVELS.iter().position(|(name, _)| *name == level).unwrap_or(2)
}

/// How serious a line is that a script had to say: `warn: …`. What it printed has no level and is always shown.
fn rank(text: &str) -> (usize, Tone) {
    let level = text.split_once(": ").and_then(|(word, _)| LEVELS.iter().position(|(name, _)| *name == word));
    level.map_or((LEVELS.len(), Tone::Plain), |rank| (rank, LEVELS[rank].1))
}

/// A way to hand in notes, and where they come out.
pub(super) fn notes() -> (Notes, UnboundedReceiver<Note>) {
    let (sender, pending) = unbounded_channel();
    (Notes(sender), pending)
}
