//! `neap start`, `stop`, `restart`, `reload`, `delete`, `signal` and `wait`: ask, wait for the outcome, say what happened.

use std::collections::BTreeMap;
use std::io::{Write, stderr};
use std::time::Duration;

use tonic::Code;

use super::args;
use super::context::{Context, exit};
use super::json::Json;
use super::link::{Client, ClientError};
use super::look::{since, word};
use super::waiting::{Patience, answer, wait};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};
use crate::cli::narrate::Talk;
use crate::cli::times::Moment;
use crate::cli::units::about;
use crate::core::StateName;
use crate::rpc::proto::v1::{
    DeleteRequest, Event, ListRequest, Outcome, Process, ReloadRequest, RestartRequest, SignalRequest, StartRequest,
    State, StopRequest, WaitRequest,
};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
    Delete,
    /// It was made, and is starting.
    Create,
}

impl Verb {
    fn noun(self) -> &'static str {
        match self {
            Verb::Start | Verb::Create => "the start",
            Verb::Stop => "the stop",
            Verb::Restart => "the restart",
            Verb::Reload => "the reload",
            Verb::Delete => "the removal",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Verb::Start => "started",
            Verb::Stop => "stopped",
            Verb::Restart => "restarted",
            Verb::Reload => "told to read its configuration again",
            Verb::Delete => "deleted",
            Verb::Create => "created",
        }
    }
}

fn is_down(state: State) -> bool {
    matches!(state, State::Created | State::Stopped | State::Exited | State::Failed | State::Crashed)
}

/// A request about processes.
struct Ask {
    names: Vec<String>,
    no_wait: bool,
    timeout: Option<u64>,
    dry_run: bool,
    /// What is not down is stopped first.
    force: bool,
}

impl Ask {
    fn send(self, verb: Verb, client: &mut Client) -> Result<Vec<Outcome>, ClientError> {
        let Ask { names, no_wait, timeout, dry_run, force } = self;
        Ok(match verb {
            Verb::Start | Verb::Create => client.start(StartRequest { names, no_wait, timeout, dry_run })?.outcomes,
            Verb::Stop => client.stop(StopRequest { names, no_wait, timeout, dry_run })?.outcomes,
            Verb::Restart => client.restart(RestartRequest { names, no_wait, timeout, dry_run })?.outcomes,
            Verb::Reload => client.reload(ReloadRequest { names, no_wait, timeout })?.outcomes,
            Verb::Delete => client.delete(DeleteRequest { names, force, timeout })?.outcomes,
        })
    }
}

/// Asks for it, and waits unless told not to.
pub(super) fn act(verb: Verb, args: &args::Act, context: &mut Context) -> Result<Exit, Failure> {
    let (no_wait, timeout) = (args.waiting.no_wait, args.waiting.timeout.map(millis));
    ask(verb, Ask { names: args.names.clone(), no_wait, timeout, dry_run: args.dry_run, force: false }, context)
}

/// Forgets them.
pub(super) fn delete(args: &args::Delete, context: &mut Context) -> Result<Exit, Failure> {
    let (timeout, force) = (args.timeout.map(millis), args.force);
    ask(Verb::Delete, Ask { names: args.names.clone(), no_wait: false, timeout, dry_run: false, force }, context)
}

fn ask(verb: Verb, ask: Ask, context: &mut Context) -> Result<Exit, Failure> {
    let names = ask.names.clone();
    let before = context.call(|client| client.list(ListRequest { names }))?.processes;
    let mut story = Story::new(Some(verb), before, context.voice.talk);
    story.dry_run = ask.dry_run;
    story.asked_only = ask.no_wait || ask.dry_run;
    let outcomes = if story.asked_only {
        context.call(|client| ask.send(verb, client))?
    } else {
        let what = story.what();
        let patience = Patience { what: &what, action: verb.noun(), timeout: None };
        let json = context.voice.json;
        let tell = &mut |event: &Event| story.tell(event).filter(|_| !json);
        answer(wait(context, &patience, move |client| ask.send(verb, client), tell)?)?
    };
    report(&outcomes, &story, context)
}

/// Has them read their configuration again.
pub(super) fn reload(args: args::Reload, context: &mut Context) -> Result<Exit, Failure> {
    let args::Reload { names, waiting } = args;
    act(Verb::Reload, &args::Act { names, waiting, dry_run: false }, context)
}

/// Sends a signal.
pub(super) fn signal(args: &args::Signal, context: &mut Context) -> Result<Exit, Failure> {
    let request = SignalRequest { names: vec![args.name.clone()], signal: args.signal.clone() };
    let outcomes = context.call(|client| client.signal(request))?.outcomes;
    let mut story = Story::new(None, Vec::new(), context.voice.talk);
    story.sent = Some(args.signal.clone());
    report(&outcomes, &story, context)
}

/// Waits for a state.
pub(super) fn wait_for(args: &args::Wait, context: &mut Context) -> Result<Exit, Failure> {
    let states = args.state.iter().map(|state| number(*state)).collect();
    let request = WaitRequest { names: args.names.clone(), states, timeout: args.timeout.map(millis) };
    let words: Vec<&str> = args.state.iter().map(|state| state.as_str()).collect();
    let wanted = if words.is_empty() { "up".to_owned() } else { words.join(" or ") };
    let what = format!("{} to be {wanted}", args.names.join(", "));
    let patience = Patience { what: &what, action: "what it does", timeout: None };
    let outcomes = answer(wait(context, &patience, move |client| client.wait(request), &mut |_| None)?)?.outcomes;
    let story = Story::new(None, Vec::new(), context.voice.talk);
    report(&outcomes, &story, context)
}

fn number(state: StateName) -> i32 {
    let name = format!("STATE_{}", state.as_str().to_ascii_uppercase());
    State::from_str_name(&name).unwrap_or_default().into()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is known of the processes before, and what happens meanwhile.
struct Story {
    verb: Option<Verb>,
    sent: Option<String>,
    dry_run: bool,
    /// Nobody waited for the outcome.
    asked_only: bool,
    before: BTreeMap<String, Process>,
    talk: Talk,
}

impl Story {
    fn new(verb: Option<Verb>, before: Vec<Process>, talk: Talk) -> Self {
        let before = before.into_iter().map(|process| (process.name.clone(), process)).collect();
        Story { verb, sent: None, dry_run: false, asked_only: false, before, talk }
    }

    /// The names, or how many there are.
    fn what(&self) -> String {
        let names: Vec<&str> = self.before.keys().map(String::as_str).collect();
        if names.len() > 5 { format!("{} processes", names.len()) } else { names.join(", ") }
    }

    /// What an event is worth saying. That something else is stopped, too, is; the rest only when asked for.
    fn tell(&self, event: &Event) -> Option<String> {
        let name = event.process.as_ref()?;
        if self.talk == Talk::Verbose {
            return Some(format!("{name}: {}", event.text));
        }
        let along = event.kind == "process.stopping" && event.cause == "relation" && !self.before.contains_key(name);
        (along && self.talk > Talk::Quiet).then(|| format!("{name}: stopping, too: {}", event.cause_text))
    }

    /// What is wrong with an outcome: it was refused, or what was started has already ended badly.
    fn wrong(&self, outcome: &Outcome) -> Option<(Exit, String)> {
        let name = &outcome.name;
        if let Some(error) = &outcome.error {
            let named = error.message.contains(&format!("`{name}`"));
            let message = if named { error.message.clone() } else { format!("{name}: {}", error.message) };
            return Some((exit(Code::from_i32(error.code)), message));
        }
        let starts = matches!(self.verb, Some(Verb::Start | Verb::Restart | Verb::Create));
        let started = starts && !self.asked_only;
        let ended = matches!(outcome.state(), State::Failed | State::Crashed | State::Backoff);
        (started && ended).then(|| {
            let message = format!("`{name}` was started, and is {}{}", word(outcome.state()), because(outcome));
            (Exit::Failed, message)
        })
    }

    /// What an outcome is called.
    fn sentence(&self, outcome: &Outcome, now: Moment) -> String {
        let name = &outcome.name;
        let pid = outcome.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let state = word(outcome.state());
        if let Some(signal) = &self.sent {
            let signal = signal.to_ascii_uppercase();
            let signal = if signal.starts_with(|c: char| c.is_ascii_alphabetic()) && !signal.starts_with("SIG") {
                format!("SIG{signal}")
            } else {
                signal
            };
            return format!("{name}: sent {signal}");
        }
        let along =
            if outcome.along.is_empty() { String::new() } else { format!("; with {}", outcome.along.join(", ")) };
        let after = format!("after {}{along}", about(Duration::from_millis(outcome.took)));
        match (self.verb, outcome.state()) {
            (Some(verb), _) if self.dry_run && outcome.changed => format!("{name}: would be {}{along}", verb.done()),
            (Some(Verb::Start | Verb::Stop), _) if !outcome.changed => {
                let since = self.before.get(name).map(|before| format!(", for {}", since(before, now)));
                let since = since.unwrap_or_default();
                match outcome.state() {
                    State::Created | State::Exited | State::Failed | State::Crashed => {
                        format!("{name}: not running: {state}{since}")
                    }
                    _ => format!("{name}: already {state}{pid}{since}"),
                }
            }
            (Some(Verb::Create), State::Running) => format!("{name}: created, running{pid}"),
            (Some(Verb::Start | Verb::Restart), State::Running) => {
                format!("{name}: running{pid}, ready {after}")
            }
            (Some(Verb::Create), State::Exited) => format!("{name}: created, done {after}"),
            (Some(Verb::Start | Verb::Restart), State::Exited) => format!("{name}: done {after}"),
            (Some(Verb::Delete), _) => format!("{name}: deleted{along}"),
            (Some(Verb::Stop), down) if is_down(down) => format!("{name}: {state} {after}"),
            (Some(Verb::Reload), State::Running) => format!("{name}: has read its configuration again{pid}"),
            _ => format!("{name}: {state}{pid}{}", because(outcome)),
        }
    }
}

fn because(outcome: &Outcome) -> String {
    match outcome.reason.as_deref() {
        Some(reason) if !reason.is_empty() => format!(": {reason}"),
        _ => String::new(),
    }
}

/// Says what each came to. The exit code is that of the first that did not come to what was asked.
fn report(outcomes: &[Outcome], story: &Story, context: &Context) -> Result<Exit, Failure> {
    let wrong: Vec<Option<(Exit, String)>> = outcomes.iter().map(|outcome| story.wrong(outcome)).collect();
    let first = wrong.iter().flatten().next();
    let result = first.map_or(Exit::Done, |(exit, _)| *exit);
    if context.voice.json {
        let all = Json::List(outcomes.iter().map(Json::of).collect());
        match first {
            None => context.print(&Json::Object(vec![("outcomes".into(), all)]).line())?,
            Some((_, message)) => {
                // Nothing to be done about a stderr that takes nothing.
                let _ = writeln!(stderr(), "{}", refusal(message, result).with("outcomes", all).line());
            }
        }
        return Ok(result);
    }
    let now = Moment::now();
    for (outcome, wrong) in outcomes.iter().zip(&wrong) {
        match wrong {
            None if context.voice.talk == Talk::Quiet => {}
            None => context.print(&escape(story.sentence(outcome, now).as_bytes()))?,
            Some((_, message)) => context.voice.error(&escape(message.as_bytes())),
        }
    }
    Ok(result)
}

/// The object that a program gets.
pub(super) fn refusal(message: &str, exit: Exit) -> Json {
    let fields = [
        ("code", Json::Int(exit.code().into())),
        ("message", Json::Text(message.to_owned())),
        ("file", Json::Null),
        ("line", Json::Null),
        ("field", Json::Null),
    ];
    Json::Object(fields.map(|(name, value)| (name.into(), value)).into())
}

#[cfg(test)]
mod tests {
    use super::super::look::samples::{NOW, migrate, web, worker};
    use super::{Story, Verb};
    use crate::cli::exit::Exit;
    use crate::cli::narrate::Talk;
    use crate::rpc::proto::v1::{Error, Event, Outcome, State};

    fn outcome(name: &str, state: State, pid: Option<u32>) -> Outcome {
        Outcome { name: name.into(), state: state.into(), pid, changed: true, took: 400, ..Outcome::default() }
    }

    fn told(verb: Verb, outcome: &Outcome) -> String {
        Story::new(Some(verb), vec![web(), worker(), migrate()], Talk::Normal).sentence(outcome, NOW)
    }

    #[test]
    fn an_outcome_is_a_sentence() {
        let along = vec!["shop".into()];
        let with = Outcome { along, ..outcome("worker", State::Running, Some(9)) };
        let was = |name, state, pid| Outcome { changed: false, ..outcome(name, state, pid) };
        for (verb, outcome, expected) in [
            (Verb::Start, &outcome("worker", State::Running, Some(9)), "worker: running (pid 9), ready after 400 ms"),
            (Verb::Start, &was("web", State::Running, Some(4711)), "web: already running (pid 4711), for 2d 4h"),
            (Verb::Start, &outcome("migrate", State::Exited, None), "migrate: done after 400 ms"),
            (Verb::Start, &outcome("worker", State::Starting, Some(9)), "worker: starting (pid 9)"),
            (Verb::Stop, &outcome("web", State::Stopped, None), "web: stopped after 400 ms"),
            (Verb::Stop, &was("migrate", State::Failed, None), "migrate: not running: failed, for 4m"),
            (Verb::Restart, &with, "worker: running (pid 9), ready after 400 ms; with shop"),
            (
                Verb::Reload,
                &outcome("web", State::Running, Some(4711)),
                "web: has read its configuration again (pid 4711)",
            ),
        ] {
            assert_eq!(told(verb, outcome), expected);
        }
    }

    #[test]
    fn what_was_started_and_has_ended_badly_is_a_failure() {
        let mut story = Story::new(Some(Verb::Start), vec![worker()], Talk::Normal);
        let reason = Some("exit code 3".into());
        let outcome = Outcome { reason, ..outcome("worker", State::Backoff, None) };
        let (exit, message) = story.wrong(&outcome).unwrap();
        assert_eq!((exit, message.as_str()), (Exit::Failed, "`worker` was started, and is backoff: exit code 3"));
        story.asked_only = true;
        assert_eq!(story.wrong(&outcome), None);
        let error = Error { code: 5, message: "gone".into(), detail: None };
        let outcome = Outcome { error: Some(error), ..outcome };
        assert_eq!(story.wrong(&outcome), Some((Exit::NoSuchProcess, "worker: gone".into())));
    }

    #[test]
    fn a_dry_run_says_what_would_be() {
        let mut story = Story::new(Some(Verb::Stop), vec![web(), migrate()], Talk::Normal);
        story.dry_run = true;
        let along = vec!["shop".into()];
        let web = Outcome { along, ..outcome("web", State::Running, Some(4711)) };
        assert_eq!(story.sentence(&web, NOW), "web: would be stopped; with shop");
        let migrate = Outcome { changed: false, ..outcome("migrate", State::Failed, None) };
        assert_eq!(story.sentence(&migrate, NOW), "migrate: not running: failed, for 4m");
    }

    #[test]
    fn what_is_stopped_along_is_named_as_it_happens() {
        let event = |name: &str, cause: &str| Event {
            kind: "process.stopping".into(),
            process: Some(name.into()),
            cause: cause.into(),
            cause_text: "requires `web`".into(),
            text: "stopping".into(),
            ..Event::default()
        };
        let mut story = Story::new(Some(Verb::Stop), vec![web()], Talk::Normal);
        let said = story.tell(&event("shop", "relation"));
        assert_eq!(said.as_deref(), Some("shop: stopping, too: requires `web`"));
        assert_eq!(story.tell(&event("web", "command")), None);
        assert_eq!(story.tell(&event("other", "ended")), None);
        story.talk = Talk::Verbose;
        assert_eq!(story.tell(&event("web", "command")).as_deref(), Some("web: stopping"));
    }
}
