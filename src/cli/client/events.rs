//! `neap events`: what happened, and why.

use std::cell::Cell;
use std::io::{self, Write, stdout};

use super::args;
use super::context::{Context, failure, say, unwritten};
use super::follow;
use super::json;
use super::link::Client;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};
use crate::cli::paint::{Paint, Tone};
use crate::cli::times::Moment;
use crate::rpc::proto::v1::{Event, GetStatusRequest, WatchRequest, WatchResponse, watch_response};

/// Shows events.
pub(super) fn events(args: &args::Events, context: &mut Context) -> Result<Exit, Failure> {
    if args.follow {
        follow::end_with_reader();
    }
    let voice = context.voice;
    // From now on is from here on, also if the supervisor dies before there is an event.
    let now =
        if args.follow { Some(context.call(|client| client.get_status(GetStatusRequest {}))?.sequence) } else { None };
    let last: Cell<Option<u64>> = Cell::new(now);
    let open = |client: &mut Client| {
        client.watch(WatchRequest { after: last.get(), follow: args.follow, names: args.names.clone() })
    };
    let mut out = stdout().lock();
    let take = |response: WatchResponse| -> io::Result<()> {
        match response.item {
            Some(watch_response::Item::Event(event)) => {
                last.set(Some(event.sequence));
                let line = if voice.json { json::line(&event) } else { line(&event, voice.out) };
                writeln!(out, "{line}").and_then(|()| out.flush())?;
            }
            Some(watch_response::Item::Lag(lag)) => {
                let text = format!("{} events are not shown: they are no longer kept", lag.lost);
                say(voice, &voice.err.tone(Tone::Warn, &text));
            }
            None => {}
        }
        Ok(())
    };
    match follow::read(context, args.follow, open, take) {
        Ok(Ok(())) => Ok(Exit::Done),
        Ok(Err(error)) => Err(failure(&error)),
        Err(error) => Err(unwritten(&error)),
    }
}

/// An event as a line.
pub(super) fn line(event: &Event, paint: Paint) -> String {
    let time = event.time.as_ref().map(|time| Moment::from(time).rfc3339()).unwrap_or_default();
    let name = event.process.as_deref().unwrap_or("neap");
    let text = escape(event.text.as_bytes());
    let cause = escape(event.cause_text.as_bytes());
    let why = if cause.is_empty() || text.contains(cause.as_str()) { String::new() } else { format!(" ({cause})") };
    // Of what a command brought about through others, the event of the command says it.
    let asker = event.caller.as_deref().map(|asker| escape(asker.as_bytes()));
    let (text, why) = match (asker, event.cause.as_str()) {
        // That somebody asked is no news beside who did.
        (Some(asker), "command") => {
            (text.trim_end_matches(": asked for").to_owned(), format!(" (asked for by {asker})"))
        }
        (Some(asker), _) if event.kind == "instance.evaluated" => (text, format!(" (by {asker})")),
        _ => (text, why),
    };
    format!(
        "{} {} {}{}",
        paint.tone(Tone::Faint, &time),
        paint.tone(Tone::Strong, &escape(name.as_bytes())),
        paint.tone(tone(&event.kind), &text),
        paint.tone(Tone::Faint, &why)
    )
}

fn tone(kind: &str) -> Tone {
    match kind.split_once('.') {
        Some((_, "running" | "healthy" | "adopted")) => Tone::Good,
        Some((_, "failed" | "crashed" | "unhealthy" | "refused" | "hook_failed" | "oom" | "stuck")) => Tone::Bad,
        Some((_, "backoff" | "skipped")) => Tone::Warn,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::line;
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::Event;

    #[test]
    fn an_event_is_a_line_with_its_cause() {
        let mut event = Event {
            time: Some(Timestamp { seconds: 1_795_427_563, nanos: 0 }),
            kind: "process.stopping".into(),
            process: Some("web".into()),
            text: "stopping".into(),
            cause_text: "requires `db`".into(),
            ..Event::default()
        };
        assert_eq!(line(&event, Paint::off()), "2026-11-23T09:52:43.000Z web stopping (requires `db`)");
        event.text = "stopping: requires `db`".into();
        assert_eq!(line(&event, Paint::off()), "2026-11-23T09:52:43.000Z web stopping: requires `db`");
        (event.cause, event.caller) = ("command".into(), Some("user ana (uid 7)".into()));
        (event.text, event.cause_text) = ("stopping: asked for".into(), "asked for".into());
        assert_eq!(line(&event, Paint::off()), "2026-11-23T09:52:43.000Z web stopping (asked for by user ana (uid 7))");
        (event.kind, event.cause, event.text) = ("instance.evaluated".into(), String::new(), "evaluated: f()".into());
        event.caller = Some("user ana (uid 7), repl".into());
        assert_eq!(
            line(&event, Paint::off()),
            "2026-11-23T09:52:43.000Z web evaluated: f() (by user ana (uid 7), repl)"
        );
        event.caller = None;
        event.process = None;
        event.text = "refused \x1b[2J".into();
        event.cause_text.clear();
        assert_eq!(line(&event, Paint::off()), "2026-11-23T09:52:43.000Z neap refused \\x1b[2J");
    }
}
