//! `neap down` and `neap upgrade`: the end of the instance, and of its binary.

use std::path::Path;
use std::time::{Duration, Instant};

use super::args;
use super::context::{Context, failure};
use super::json;
use super::link::ClientError;
use super::waiting::{Patience, wait, wait_for};
use crate::cli::exit::{Exit, Failure};
use crate::cli::narrate::Talk;
use crate::cli::units::about;
use crate::rpc::proto::v1::{
    Event, GetStatusRequest, GetStatusResponse, ShutdownRequest, ShutdownResponse, UpgradeRequest,
};

/// A new binary that is not ready after this long will not be: its anchor has gone back to the old one by then.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long an instance may take from its last answer to its end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Between two looks at whether the new one is there.
const PAUSE: Duration = Duration::from_millis(50);

/// Ends the instance.
pub(super) fn down(args: &args::Down, context: &mut Context) -> Result<Exit, Failure> {
    let began = Instant::now();
    let no_wait = args.waiting.no_wait;
    let socket = context.call(|client| client.get_status(GetStatusRequest {}))?.socket;
    let request = ShutdownRequest { no_wait };
    let response = if no_wait {
        context.call(|client| client.shutdown(request))?
    } else {
        let patience = Patience { what: "everything to stop", action: "the shutdown", timeout: args.waiting.timeout };
        let talk = if context.voice.json { Talk::Quiet } else { context.voice.talk };
        match wait(context, &patience, move |client| client.shutdown(request), &mut |event| tell(event, talk))? {
            Ok(response) => response,
            // It ended before it could answer, which is what was asked for.
            Err(ClientError::Lost(_)) => ShutdownResponse::default(),
            Err(ClientError::Refused { detail, .. }) if detail.code == "ended" => ShutdownResponse::default(),
            Err(error) => return Err(failure(&error)),
        }
    };
    if !response.stuck.is_empty() {
        return Err(Failure::new(format!("these would not die: {}", response.stuck.join(", "))));
    }
    if !no_wait {
        gone(Path::new(&socket));
    }
    if context.voice.json {
        context.print(&json::line(&response))?;
    } else if context.voice.talk > Talk::Quiet {
        let text =
            if no_wait { "stopping everything".into() } else { format!("down after {}", about(began.elapsed())) };
        context.print(&text)?;
    }
    Ok(Exit::Done)
}

/// Waits until nobody can come to it any more: whoever starts an instance next starts a new one.
fn gone(socket: &Path) {
    let end = Instant::now() + LAST_WORDS;
    while socket.exists() && Instant::now() < end {
        std::thread::sleep(PAUSE);
    }
}

/// Each process as it has stopped.
fn tell(event: &Event, talk: Talk) -> Option<String> {
    let name = event.process.as_ref()?;
    let least = match event.kind.as_str() {
        "process.stopped" | "process.failed" | "process.crashed" => Talk::Normal,
        _ => Talk::Verbose,
    };
    (talk >= least).then(|| format!("{name}: {}", event.text))
}

/// Lets a new binary take over.
pub(super) fn upgrade(args: &args::Upgrade, context: &mut Context) -> Result<Exit, Failure> {
    let began = Instant::now();
    let binary = args.binary.as_deref().map(absolute).transpose()?;
    let before = context.call(|client| client.get_status(GetStatusRequest {}))?;
    match context.call(|client| client.upgrade(UpgradeRequest { binary })) {
        // It may be gone before its answer is: its successor tells how it went.
        Err(failure) if failure.exit == Exit::Unreachable => {}
        other => drop(other?),
    }
    if args.waiting.no_wait {
        context.say("the new binary takes over");
        return Ok(Exit::Done);
    }
    let old = before.pid;
    let candidates = context.candidates().clone();
    let timeout = args.waiting.timeout.unwrap_or(UPGRADE_TIMEOUT);
    let patience = Patience { what: "the new binary", action: "the upgrade", timeout: Some(timeout) };
    let ask = move || loop {
        // It takes over between two connections: those to the old one end.
        let client = super::context::reach(&candidates);
        if let Ok(Ok(status)) = client.map(|mut client| client.get_status(GetStatusRequest {}))
            && status.pid != old
        {
            return Ok(status);
        }
        std::thread::sleep(PAUSE);
    };
    let after = wait_for(context, &patience, ask, &mut |_| None)?.map_err(|error| failure(&error))?;
    upgraded(&before, &after, began, context)
}

fn upgraded(
    before: &GetStatusResponse,
    after: &GetStatusResponse,
    began: Instant,
    context: &Context,
) -> Result<Exit, Failure> {
    // What the instance says of itself when it had to go back.
    if let Some(why) = after.degraded.iter().find(|why| why.contains("upgrade")) {
        return Err(Failure::new(why.clone()));
    }
    if context.voice.json {
        context.print(&json::line(after))?;
    } else if context.voice.talk > Talk::Quiet {
        let (old, new) = (&before.version, &after.version);
        let versions = if old == new { format!("{new} again") } else { format!("{old} to {new}") };
        let pids = format!("pid {} to {}", before.pid, after.pid);
        context.print(&format!("upgraded: {versions} ({pids}), after {}", about(began.elapsed())))?;
    }
    Ok(Exit::Done)
}

fn absolute(path: &Path) -> Result<String, Failure> {
    let unusable = |why: String| Failure::new(format!("cannot use the binary `{}`: {why}", path.display()));
    let path = std::path::absolute(path).map_err(|error| unusable(error.to_string()))?;
    path.into_os_string().into_string().map_err(|_| unusable("its path is no text".into()))
}
