//! A supervisor in a process of its own, with a ledger and an anchor, that tests talk to and kill.
//!
//! `keeper FOLDER [groups] [logs]` keeps its ledger and its notify sockets in the folder, and listens at
//! `FOLDER/control`: a line of JSON asks, a line of JSON answers. Events are lines of JSON in `FOLDER/events`. It is started
//! again by its anchor whenever it dies.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use neap::anchor::{self, Link};
use neap::core::RecordKey;
use neap::driver::sys::fault;
use neap::driver::{Keep, Store};
use neap::ledger::Ledger;
use neap::spec::Spec;
use neap::{Process, Supervisor};
use nix::sys::prctl;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde_json::{Value, json};

fn main() -> ExitCode {
    if env::args_os().next().is_some_and(|name| name == anchor::NAME) {
        return anchor::main();
    }
    match Link::from_env().expect("a link") {
        Some(link) => supervise(link),
        None => {
            eprintln!("{}", anchor::become_anchor(env::args_os().skip(1), []));
            ExitCode::FAILURE
        }
    }
}

fn supervise(link: Link) -> ExitCode {
    let folder = PathBuf::from(env::args().nth(1).expect("a folder"));
    let options: Vec<String> = env::args().skip(2).collect();
    let has = |option: &str| options.iter().any(|o| o == option);
    let _ = prctl::set_name(c"keeper");
    prctl::set_child_subreaper(true).expect("a subreaper");
    while folder.join("hold").exists() {
        thread::sleep(std::time::Duration::from_millis(1));
    }
    let inheritance = link.welcome().expect("a welcome");
    let lives = inheritance.lives;
    let instance = format!("test-{}", folder.display());
    let (ledger, records, _) = Ledger::open(&folder.join("ledger"), &instance).expect("a ledger");
    if let Ok(at) = fs::read_to_string(folder.join("die-at")) {
        // Once: the next one lives.
        fs::remove_file(folder.join("die-at")).expect("it is there");
        fault::count();
        fault::die_at(at.trim().parse().expect("a number"));
    }
    let keep = Keep {
        store: Box::new(Disk { ledger, full: folder.join("full") }),
        records: records.current,
        link: Some(link.clone()),
        inheritance,
        instance: instance.replace('/', "-"),
    };
    let mut builder = Supervisor::builder().base_dir(&folder).runtime_dir(folder.join("run")).keep(keep);
    if has("groups") {
        builder = builder.cgroups(false);
    }
    if has("logs") {
        builder = builder.log_dir(folder.join("log"));
    }
    let supervisor = builder.build().expect("a supervisor");
    let mut events = supervisor.events_after(0);
    let told = fs::OpenOptions::new().append(true).create(true).open(folder.join("events")).expect("a file");
    thread::spawn(move || {
        while let Some(next) = events.next_blocking() {
            if let neap::Next::Item(event) = next {
                let line = serde_json::to_string(&event).expect("JSON") + "\n";
                let _ = (&told).write_all(line.as_bytes());
            }
        }
    });
    // Asked a question, it has taken over.
    if supervisor.list().is_err() {
        // The one before had finished, and died on the way out.
        link.finished(0);
        return ExitCode::SUCCESS;
    }
    link.ready();
    thread::spawn({
        let (supervisor, folder, link) = (supervisor.clone(), folder.clone(), link.clone());
        move || serve(&supervisor, &folder, &link, lives)
    });
    let reaper = thread::current();
    thread::spawn({
        let supervisor = supervisor.clone();
        move || {
            let _ = supervisor.ended().wait();
            reaper.unpark();
        }
    });
    // Orphans come to the first thread.
    loop {
        let ours = WaitPidFlag::WNOHANG | WaitPidFlag::__WNOTHREAD;
        while matches!(waitpid(None, Some(ours)), Ok(status) if status != WaitStatus::StillAlive) {}
        thread::park_timeout(std::time::Duration::from_millis(20));
        if folder.join("over").exists() {
            return ExitCode::SUCCESS;
        }
    }
}

/// A ledger on a disk that is full while there is such a file.
struct Disk {
    ledger: Ledger,
    full: PathBuf,
}

impl Store for Disk {
    fn write(&mut self, batch: &[(RecordKey, Option<Vec<u8>>)]) -> io::Result<()> {
        // The one who writes is the engine.
        assert!(fs::remove_file(self.full.with_file_name("panic")).is_err(), "as was asked for");
        if self.full.exists() { Err(io::ErrorKind::StorageFull.into()) } else { self.ledger.write(batch) }
    }
}

fn serve(supervisor: &Supervisor, folder: &Path, link: &Link, lives: u32) {
    let path = folder.join("control");
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    for stream in listener.incoming() {
        let stream = stream.expect("a connection");
        let (supervisor, folder, link) = (supervisor.clone(), folder.to_owned(), link.clone());
        thread::spawn(move || converse(stream, &supervisor, &folder, (&link, lives)));
    }
}

fn converse(stream: UnixStream, supervisor: &Supervisor, folder: &Path, (link, lives): (&Link, u32)) {
    let mut answers = stream.try_clone().expect("a copy");
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let question: Value = serde_json::from_str(&line).expect("JSON");
        let answer = answer(&question, supervisor, folder, (link, lives));
        if writeln!(answers, "{answer}").is_err() {
            return;
        }
    }
}

fn answer(question: &Value, supervisor: &Supervisor, folder: &Path, (link, lives): (&Link, u32)) -> Value {
    let text = |key: &str| question[key].as_str().unwrap_or_default().to_owned();
    let process = || -> Process { supervisor.get(&text("name")).expect("a process of this name") };
    match question["do"].as_str().expect("what to do") {
        "add" => {
            let spec: Spec = serde_json::from_value(question["spec"].clone()).expect("a spec");
            supervisor.add(spec).map_or_else(|e| json!({"error": e.to_string()}), |_| json!({}))
        }
        "start" => process().start().wait().map_or_else(|e| json!({"error": e.to_string()}), |_| json!({})),
        "begin" => {
            // Goes on although nobody waits.
            let pending = process().start();
            thread::spawn(move || pending.wait());
            json!({})
        }
        "update" => {
            let spec: Spec = serde_json::from_value(question["spec"].clone()).expect("a spec");
            process().update(spec).wait().map_or_else(|e| json!({"error": e.to_string()}), |_| json!({}))
        }
        "delete" => process().delete(true).wait().map_or_else(|e| json!({"error": e.to_string()}), |_| json!({})),
        "stop" => process().stop().wait().map_or_else(|e| json!({"error": e.to_string()}), |_| json!({})),
        "begin-stop" => {
            let pending = process().stop();
            thread::spawn(move || pending.wait());
            json!({})
        }
        "status" => serde_json::to_value(supervisor.list().expect("a list")).expect("JSON"),
        "life" => json!({"pid": std::process::id(), "lives": lives}),
        "lines" => {
            let lines = process().logs(100_000);
            json!(lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect::<Vec<_>>())
        }
        "host" => json!(format!("{:?}", supervisor.host())),
        "count" => {
            fault::count();
            json!({})
        }
        "counted" => json!(fault::counted()),
        "die-at" => {
            fault::count();
            fault::die_at(question["at"].as_u64().expect("a number") as usize);
            json!({})
        }
        "hand-over" => {
            let done = supervisor.hand_over().wait().expect("an answer");
            if done {
                let image = fs::File::open("/proc/self/exe").expect("our image");
                link.upgrade(std::os::fd::AsFd::as_fd(&image)).expect("an upgrade");
                std::process::exit(0);
            }
            json!(done)
        }
        "shutdown" => {
            let pending = supervisor.shutdown();
            let (folder, link) = (folder.to_owned(), link.clone());
            thread::spawn(move || {
                let _ = pending.wait();
                link.finished(0);
                let _ = fs::write(folder.join("over"), "");
            });
            json!({})
        }
        other => panic!("cannot {other}"),
    }
}
