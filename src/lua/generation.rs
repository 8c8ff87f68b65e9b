//! One evaluated configuration: its state, and the thread that owns it.

use std::path::Path;
use std::time::{Duration, Instant};

use mlua::Lua;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::api::{self, Declared};
use super::error::error_problem;
use super::host::Host;
use super::reader::ReadError;
use super::runtime::Entry;
use super::sandbox;
use super::turns::{TOO_LATE, run_call};
use super::wedge::StateThread;
use crate::spec::{Problem, Severity};
use crate::{FunctionCall, FunctionDone};

/// What the thread is asked for.
pub(crate) enum Request {
    /// Call a function of this generation.
    Call(FunctionCall, FunctionDone),
    /// Do something with the state.
    Job(Job),
}

/// Something to be done on the state's thread.
pub(crate) type Job = Box<dyn FnOnce(&Lua, &Host) + Send>;

/// What an evaluation came to, with the way to the functions it declared.
pub(crate) struct Outcome {
    pub result: Result<Declared, Vec<Problem>>,
    pub requests: Option<UnboundedSender<Request>>,
}

/// The thread's body: evaluates, answers, then serves calls until nobody can ask for any.
pub(crate) fn run(host: Host, entry: Entry, deadline: Duration, thread: StateThread, answer: impl FnOnce(Outcome)) {
    let _running = thread.begin();
    let evaluated = evaluate(&host, &entry, deadline);
    let (requests, receiver) = unbounded_channel();
    match evaluated {
        Ok((lua, declared)) => {
            host.enter_run_time();
            answer(Outcome { result: Ok(declared), requests: Some(requests) });
            serve(&lua, &host, receiver);
            host.clear();
        }
        Err(problems) => {
            host.clear();
            answer(Outcome { result: Err(problems), requests: None });
        }
    }
}

fn evaluate(host: &Host, entry: &Entry, deadline: Duration) -> Result<(Lua, Declared), Vec<Problem>> {
    let end = Instant::now() + deadline;
    let lua = sandbox::new_state(host).map_err(|e| host.chunks().problems(&e))?;
    let armed = host.limits().arm(end);
    let ran = run_entry(&lua, host, entry);
    let declared = ran.and_then(|()| api::finish(&lua, host));
    if host.limits().expired() {
        return Err(vec![late(host, deadline, declared.err())]);
    }
    drop(armed);
    let mut problems = host.take_errors();
    match declared {
        Ok(declared) if problems.iter().all(|p| p.severity == Severity::Warning) => Ok((lua, declared)),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// The problem of a configuration that took too long; `ended` is what it came to in the end.
fn late(host: &Host, deadline: Duration, ended: Option<Vec<Problem>>) -> Problem {
    let mut problem = error_problem(format!(
        "evaluation took longer than {}; look for a loop that does not end",
        crate::spec::units::format_duration(deadline)
    ));
    if let Some(place) = host.limits().place() {
        problem.file = host.chunks().file(&place.chunk).or(Some(place.chunk));
        problem.line = Some(place.line);
    } else if let Some(first) = ended.and_then(|problems| problems.into_iter().next()) {
        (problem.file, problem.line) = (first.file, first.line);
    }
    problem
}

/// What a script's error says, with the line for one that knows none.
fn told(host: &Host, error: &mlua::Error) -> Vec<Problem> {
    let mut problems = host.chunks().problems(error);
    if let (mlua::Error::MemoryError(_), [problem]) = (error, &mut problems[..]) {
        let most = crate::spec::units::format_size(host.memory() as u64);
        problem.message = format!("used more memory than the {most} there is for a configuration");
        if let Some(place) = host.limits().memory_place() {
            problem.file = host.chunks().file(&place.chunk);
            problem.line = Some(place.line);
        }
    }
    problems
}

fn run_entry(lua: &Lua, host: &Host, entry: &Entry) -> Result<(), Vec<Problem>> {
    let refused = |error: ReadError| vec![error_problem(error.to_string())];
    match entry {
        Entry::Source { name, text } => {
            host.reader().note_text(name, text);
            run_chunk(lua, host, name, text.as_bytes())
        }
        Entry::File(path) if api::is_yaml(path) => api::declare_file(lua, host, path),
        Entry::File(path) => {
            let shown = path.display().to_string();
            let file = host.reader().read_entry(path, shown).map_err(refused)?;
            run_chunk(lua, host, &file.display, &file.content)
        }
        Entry::Folder(path) => {
            let shown = path.display().to_string();
            let names = host
                .reader()
                .names(&shown, || files_of(path).map_err(|e| ReadError::Refused(format!("cannot read {shown}: {e}"))));
            for name in names.map_err(refused)? {
                let file = host.reader().read(Path::new(&name)).map_err(refused);
                if !api::is_yaml(Path::new(&name)) {
                    let file = file?;
                    run_chunk(lua, host, &file.display, &file.content)?;
                } else if let Err(problems) = file.and_then(|file| api::take_in(lua, host, &file)) {
                    take_note(lua, host, problems)?;
                }
            }
            Ok(())
        }
    }
}

/// A YAML file of a folder cannot be taken in. The others are looked at all the same.
fn take_note(lua: &Lua, host: &Host, problems: Vec<Problem>) -> Result<(), Vec<Problem>> {
    if host.skips_bad_files() {
        host.skip(problems);
        return Ok(());
    }
    problems.into_iter().for_each(|problem| host.refuse(problem));
    // Others may speak of its processes.
    api::leave_incomplete(lua).map_err(|error| host.chunks().problems(&error))
}

/// The scripts and the YAML files of a folder, by name.
fn files_of(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in folder.read_dir()? {
        if let Ok(name) = entry?.file_name().into_string()
            && (name.ends_with(".lua") || api::is_yaml(Path::new(&name)))
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn run_chunk(lua: &Lua, host: &Host, name: &str, content: &[u8]) -> Result<(), Vec<Problem>> {
    let told = |e: mlua::Error| told(host, &e);
    let function = sandbox::compile(lua, host, name, content).map_err(told)?;
    // In a coroutine, so that the hook can end it by suspending it.
    let coroutine = lua.create_thread(function).map_err(told)?;
    coroutine.resume::<()>(()).map_err(told)?;
    if coroutine.is_resumable() && !host.limits().expired() {
        let mut problem = error_problem("the file ended in coroutine.yield; there is nothing to yield to");
        problem.file = Some(name.to_owned());
        return Err(vec![problem]);
    }
    Ok(())
}

/// Serves requests until the last sender is gone and the last call is over.
fn serve(lua: &Lua, host: &Host, mut requests: UnboundedReceiver<Request>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        while let Some(request) = requests.recv().await {
            match request {
                Request::Call(call, done) => {
                    let (lua, host) = (lua.clone(), host.clone());
                    tokio::task::spawn_local(async move {
                        match self::call(&lua, &host, &call).await {
                            Ok(answer) => done.finish(answer),
                            Err(why) => done.broken(why),
                        }
                    });
                }
                Request::Job(job) => job(lua, host),
            }
        }
    });
    runtime.block_on(local);
}

/// The function's answer; the outer error: it came to none.
async fn call(lua: &Lua, host: &Host, call: &FunctionCall) -> Result<Result<(), String>, String> {
    let deadline = Instant::now() + call.timeout;
    let function =
        host.function(call.function).ok_or("the function belongs to a configuration that is no longer loaded")?;
    let arguments = {
        let _armed = host.limits().arm(deadline);
        api::arguments(lua, host, call).map_err(|e| host.chunks().describe(&e))?
    };
    let results = run_call(lua, host, function, arguments, deadline).await?;
    // What a result says of itself may be code of the script's, too.
    let _armed = host.limits().arm(deadline);
    let outcome = api::outcome(call.purpose, results);
    if host.limits().expired() { Err(TOO_LATE.to_owned()) } else { outcome }
}
