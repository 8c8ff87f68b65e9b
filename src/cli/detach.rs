//! `neap up --detach`: a daemon is left in the background, or the one that is there already applies the configuration.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write, stderr, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::app::Voice;
use super::args::{Global, TelemetryArgs, Up};
use super::client;
use super::exit::{Exit, Failure};
use super::narrate::Talk;
use super::start;
use crate::instance::places::Places;

/// What becomes of the daemon.
enum News {
    /// It says this of itself.
    Said(String),
    /// It ended.
    Ended(std::io::Result<ExitStatus>),
}

/// Starts it, and returns when it is up.
pub(super) fn detach(args: &Up, global: &Global, voice: Voice, config: &Path) -> Result<Exit, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let places = start::places(Some(config), global).map_err(|error| failed(&error))?;
    places.make().map_err(|error| failed(&error))?;
    if UnixStream::connect(&places.socket).is_ok() {
        let there = Global { socket: Some(places.socket), instance: None, ..global.clone() };
        let waiting = client::args::Waiting { no_wait: false, timeout: None };
        let apply = client::args::Apply { config: Some(config.to_owned()), waiting, dry_run: false };
        return client::run(client::args::Command::Apply(apply), &there, voice);
    }
    let heard = places.runtime.join(format!("up-{}.sock", std::process::id()));
    let outcome = begin(args, global, config, &places, &heard);
    let _ = std::fs::remove_file(&heard);
    let pid = match outcome? {
        Ok(pid) => pid,
        Err((code, said)) => {
            let _ = stderr().write_all(&said);
            return Err(Failure::new("it did not come up, as said above").exit(Exit::Code(code)));
        }
    };
    if voice.talk > Talk::Quiet {
        let text = format!(
            "up in the background, as process {pid}: `neap status`, `neap logs -f`, `neap down`\n\
             its own messages are in {}",
            messages(&places).display()
        );
        writeln!(stdout(), "{text}").map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))?;
    }
    Ok(Exit::Done)
}

/// Where a daemon without a terminal writes its own messages.
fn messages(places: &Places) -> PathBuf {
    places.state.join("neap.log")
}

/// The daemon's pid, or its exit code and what it had to say.
type Begun = Result<u32, (u8, Vec<u8>)>;

fn begin(args: &Up, global: &Global, config: &Path, places: &Places, heard: &Path) -> Result<Begun, Failure> {
    let system = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| Failure::new(format!("cannot {what}: {error}"))
    };
    let path = messages(places);
    let opening = OpenOptions::new().append(true).read(true).create(true).mode(0o600).open(&path);
    let mut log = opening.map_err(system(&format!("open `{}`", path.display())))?;
    let before = log.seek(SeekFrom::End(0)).map_err(system("find the end of its messages"))?;
    let copy = || log.try_clone().map_err(system("duplicate a descriptor"));
    let socket = UnixDatagram::bind(heard).map_err(system(&format!("bind `{}`", heard.display())))?;
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments(args, global, config)).env("NOTIFY_SOCKET", heard);
    command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID").env_remove("NEAP_SOCKET");
    command.stdin(Stdio::null()).stdout(copy()?).stderr(copy()?);
    let child = command.spawn().map_err(system("start this program again"))?;
    let pid = child.id();
    let news = listen(child, socket)?;
    for news in news {
        match news {
            News::Said(text) if text.lines().any(|line| line == "READY=1") => return Ok(Ok(pid)),
            News::Said(_) => {}
            News::Ended(status) => {
                let code = status.ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
                return Ok(Err((code.filter(|code| *code != 0).unwrap_or(1), since(&mut log, before))));
            }
        }
    }
    Err(Failure::new("the daemon's end could not be waited for"))
}

fn arguments(args: &Up, global: &Global, config: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["daemon".into(), "--detached".into()];
    if let Some(socket) = &global.socket {
        arguments.extend(["--socket".into(), socket.into()]);
    }
    arguments.extend(args.config.profile.iter().map(|profile| format!("--profile={profile}").into()));
    arguments.extend(args.only.iter().map(|name| format!("--only={name}").into()));
    let TelemetryArgs { metrics, metrics_beyond_loopback, dogstatsd } = &args.telemetry;
    arguments.extend(metrics.iter().map(|address| format!("--metrics={address}").into()));
    arguments.extend(metrics_beyond_loopback.then(|| "--metrics-beyond-loopback".into()));
    arguments.extend(dogstatsd.iter().map(|address| format!("--dogstatsd={address}").into()));
    arguments.extend(["--".into(), config.into()]);
    arguments
}

/// A thread for each thing to wait for; both end with this process.
fn listen(mut child: Child, socket: UnixDatagram) -> Result<Receiver<News>, Failure> {
    let (sender, news) = channel();
    let told = sender.clone();
    thread(move || tell_what_is_said(&socket, &told))?;
    thread(move || drop(sender.send(News::Ended(child.wait()))))?;
    Ok(news)
}

fn tell_what_is_said(socket: &UnixDatagram, told: &Sender<News>) {
    let mut buffer = [0; 4096];
    while let Ok(length) = socket.recv(&mut buffer) {
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        if told.send(News::Said(text)).is_err() {
            return;
        }
    }
}

fn thread(body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = std::thread::Builder::new().spawn(body);
    thread.map(drop).map_err(|error| Failure::new(format!("cannot make a thread: {error}")))
}

/// What was written to the file from there on.
fn since(file: &mut File, from: u64) -> Vec<u8> {
    let mut text = Vec::new();
    // What cannot be read is in the file.
    let _ = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut text));
    text
}
