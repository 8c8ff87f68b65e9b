//! What comes without having been asked for: above the prompt, or between the lines.

use std::io::{Write, stderr, stdout};
use std::sync::mpsc::Receiver;

use rustyline::ExternalPrinter;

use crate::cli::app::Voice;
use crate::cli::client::events;
use crate::cli::client::lua_session::Aside;
use crate::cli::client::shown::escape_lines;
use crate::cli::exit::Failure;
use crate::cli::paint::{Paint, Tone};

/// Where it is shown.
pub(super) enum Place {
    /// Above the line that is edited.
    Prompt(Box<dyn ExternalPrinter + Send>),
    /// Events on stdout, the rest on stderr.
    Streams,
}

/// Shows it on a thread of its own: an editor that is busy must not hold up the answers that it waits for.
pub(super) fn show(asides: Receiver<Aside>, voice: Voice, mut place: Place) -> Result<(), Failure> {
    let body = move || {
        for aside in asides {
            // Nothing to be done about a terminal that takes nothing.
            match &mut place {
                Place::Prompt(printer) => {
                    if printer.print(text(&aside, voice.out) + "\n").is_err() {
                        return;
                    }
                }
                Place::Streams if matches!(aside, Aside::Event(_)) => {
                    let _ = writeln!(stdout(), "{}", text(&aside, voice.out));
                }
                Place::Streams => {
                    let _ = writeln!(stderr(), "{}", text(&aside, voice.err));
                }
            }
        }
    };
    let spawned = std::thread::Builder::new().name("neap-asides".into()).spawn(body);
    spawned.map(drop).map_err(|error| Failure::new(format!("cannot make a thread: {error}")))
}

fn text(aside: &Aside, paint: Paint) -> String {
    let (tone, text) = match aside {
        Aside::Event(event) => return events::line(event, paint),
        Aside::Lag(lost) => (Tone::Warn, format!("{lost} events are not shown")),
        Aside::Notice(text) => (Tone::Warn, text.clone()),
        Aside::Lost(why) => (Tone::Warn, format!("{why}; looking for its successor")),
        Aside::Renewed(hello) => {
            let text = "connected again, in a new session: what the variables of the old one held is gone";
            (Tone::Warn, format!("{text} (generation {})", hello.generation))
        }
        Aside::Ended(why) => (Tone::Bad, format!("{why}; Ctrl-D leaves")),
    };
    paint.tone(tone, &escape_lines(&text))
}
