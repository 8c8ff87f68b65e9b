//! Under a service manager, and as the first process of a container.

use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use nix::sys::signal::Signal;

use crate::common::{root_or_skip, skipped};
use crate::support::{DEADLINE, Daemon, Home};

/// The next datagram with this in it.
#[track_caller]
fn heard(socket: &UnixDatagram, what: &str) -> String {
    let mut buffer = [0; 4096];
    let mut all = Vec::new();
    loop {
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("`{what}`: {error}; heard {all:?}"));
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.lines().any(|line| line.starts_with(what)) {
            return text;
        }
        all.push(text);
    }
}

#[test]
fn a_service_manager_is_told_of_start_reload_stop_and_life() {
    let home = Home::new();
    home.config("neap.process 'a' { shell = 'exec sleep 100000' }");
    let socket = UnixDatagram::bind(home.path("notify.sock")).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = home.command(["daemon", "neap.lua"]);
    command.env("NOTIFY_SOCKET", home.path("notify.sock")).env("WATCHDOG_USEC", "20000000");
    let daemon = home.start(command);
    let ready = heard(&socket, "READY=1");
    assert!(ready.contains("STATUS=1 process"), "{ready}");
    let alive = heard(&socket, "WATCHDOG=1");
    assert!(alive.contains("STATUS=1 process, "), "as it is now: {alive}");
    daemon.signal(Signal::SIGHUP);
    let reloading = heard(&socket, "RELOADING=1");
    let at = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("when");
    assert!(at.parse::<u64>().is_ok_and(|at| at > 0), "{reloading}");
    heard(&socket, "READY=1");
    daemon.crash();
    heard(&socket, "READY=1");
    heard(&socket, "WATCHDOG=1");
    daemon.signal(Signal::SIGTERM);
    let stopping = heard(&socket, "STOPPING=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC="), "{stopping}");
    let (status, said) = daemon.end();
    assert_eq!(status.code(), Some(0), "{said}");
    // Children are not the ones that the service manager listens to.
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
}

/// Listens for the service manager's news of a daemon with this configuration, and starts it.
fn told_of(home: &Home) -> (UnixDatagram, Daemon<'_>) {
    let path = home.path("notify.sock");
    let _ = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = home.command(["daemon", "neap.lua"]);
    command.env("NOTIFY_SOCKET", path);
    (socket, home.start(command))
}

#[test]
fn who_connects_when_it_says_that_it_is_ready_is_let_in() {
    let home = Home::new();
    // Most of them wait for a connection, and some are started with it.
    let listens = "for i = 1, 200 do neap.process('p' .. i, { command = 'sleep 100000', auto_start = i % 20 == 0, \
        listen = neap.listen { unix = neap.path('s' .. i) } }) end";
    home.config(listens);
    for _ in 0..5 {
        let (socket, daemon) = told_of(&home);
        heard(&socket, "READY=1");
        for i in (1..=200).rev() {
            UnixStream::connect(home.path(&format!("s{i}"))).unwrap_or_else(|error| panic!("s{i}: {error}"));
        }
        assert_eq!(home.status()["ready"], true);
        daemon.stop();
    }
}

#[test]
fn after_a_reload_too_it_is_ready_once_what_listens_is_bound() {
    let home = Home::new();
    home.config("");
    let (socket, daemon) = told_of(&home);
    heard(&socket, "READY=1");
    for round in 0..15 {
        home.config(&format!(
            "for i = 1, 20 do neap.process('r{round}p' .. i, {{ command = 'sleep 100000', \
             listen = neap.listen {{ unix = neap.path('r{round}s' .. i) }} }}) end"
        ));
        daemon.signal(Signal::SIGHUP);
        heard(&socket, "RELOADING=1");
        heard(&socket, "READY=1");
        for i in 1..=20 {
            UnixStream::connect(home.path(&format!("r{round}s{i}")))
                .unwrap_or_else(|error| panic!("round {round}, {i}: {error}\n{}", daemon.said()));
        }
    }
    daemon.stop();
}

#[test]
fn a_listener_that_cannot_be_bound_or_waits_for_another_process_keeps_nobody_from_being_ready() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    home.config(&format!(
        "neap.process('taken', {{ command = 'sleep 100000', restart = 'always', listen = neap.listen {{ tcp = {port} }} }})\n\
         neap.process('never', {{ command = 'sleep 100000', ready = neap.exec {{ command = {{ 'false' }} }} }})\n\
         neap.process('later', {{ command = 'sleep 100000', auto_start = true, requires = 'never', \
           listen = neap.listen {{ unix = neap.path 'later' }} }})"
    ));
    let (socket, daemon) = told_of(&home);
    heard(&socket, "READY=1");
    assert_eq!(home.status()["ready"], true);
    assert!(!home.path("later").exists());
    home.wait_until("it is tried again", |all| all["taken"]["state"] == "backoff");
    daemon.stop();
}

#[test]
fn a_disk_that_does_not_answer_keeps_nobody_from_being_ready_for_ever() {
    const NAME: &str = "a_disk_that_does_not_answer_keeps_nobody_from_being_ready_for_ever";
    let home = Home::new();
    std::fs::write(home.path("hangs"), "A=1\n").unwrap();
    home.config(
        "neap.process('other', { command = 'sleep 100000', listen = neap.listen { unix = neap.path 'other' } })",
    );
    let (socket, daemon) = told_of(&home);
    heard(&socket, "READY=1");
    // Whoever opens the file waits until the test lets him: as it would be on a disk that hangs.
    let hang = || -> nix::Result<Fanotify> {
        let disk = Fanotify::init(InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC, EventFFlags::O_RDONLY)?;
        disk.mark(MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_OPEN_PERM, AT_FDCWD, Some(&home.path("hangs")))?;
        Ok(disk)
    };
    let disk = match hang() {
        Ok(disk) => disk,
        Err(errno) => {
            daemon.stop();
            return skipped(NAME, &format!("no disk can be made to hang: {errno}"));
        }
    };
    let listens = "neap.process('web', { command = 'sleep 100000', auto_start = true, start_timeout = 'infinity', \
        env_file = 'hangs', listen = neap.listen { unix = neap.path 'web' } })";
    home.config(listens);
    let told = "not bound after 10 s, and no longer waited for: web at ";
    daemon.signal(Signal::SIGHUP);
    heard(&socket, "READY=1");
    daemon.wait_for(told);
    daemon.crash();
    heard(&socket, "READY=1");
    let said = daemon.said();
    assert_eq!(said.matches(told).count(), 2, "after a crash as after a reload: {said}");
    assert_eq!(home.status()["ready"], true);
    // It is late, and no more.
    drop(disk);
    home.wait_until("it is up", |all| all["web"]["state"] == "running");
    UnixStream::connect(home.path("web")).unwrap();
    daemon.stop();
}

/// `unshare` with this of a daemon as PID 1 of a namespace of its own.
fn first_process(home: &Home) -> Option<Command> {
    let mut probe = Command::new("unshare");
    let works = probe.args(["--pid", "--fork", "--mount-proc", "true"]).status().is_ok_and(|status| status.success());
    if !works {
        return None;
    }
    let mut command = Command::new("unshare");
    home.surround(&mut command);
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", env!("CARGO_BIN_EXE_neap"), "daemon", "neap.lua"]);
    Some(command)
}

#[test]
fn as_pid_1_it_reaps_strangers_and_ends_with_the_critical_processs_code() {
    const NAME: &str = "as_pid_1_it_reaps_strangers_and_ends_with_the_critical_processs_code";
    if !root_or_skip(NAME) {
        return;
    }
    let home = Home::new();
    let zombies = "n=0; while [ $n -lt 500 ]; do (setsid sh -c 'exit 0' &); n=$((n+1)); done; \
        while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do sleep 0.05; done; exit 7";
    home.config(&format!("neap.process 'main' {{ shell = [[{zombies}]], restart = 'never', critical = true }}"));
    let Some(command) = first_process(&home) else {
        return skipped(NAME, "no pid namespace can be made here");
    };
    let (status, said) = home.start(command).end();
    assert_eq!(status.code(), Some(7), "{said}");
}

#[test]
fn as_pid_1_it_survives_its_supervisor() {
    const NAME: &str = "as_pid_1_it_survives_its_supervisor";
    if !root_or_skip(NAME) {
        return;
    }
    let home = Home::new();
    // The supervisor is process 2 there: what it supervises kills it, and then wants to be the same process still.
    let kills = "me=$$; kill -9 $(sed -n 's/^PPid:.//p' /proc/$$/status); sleep 1; [ $me = $$ ] && exit 5";
    home.config(&format!("neap.process 'main' {{ shell = [[{kills}]], restart = 'never', critical = true }}"));
    let Some(command) = first_process(&home) else {
        return skipped(NAME, "no pid namespace can be made here");
    };
    let (status, said) = home.start(command).end();
    assert_eq!(status.code(), Some(5), "{said}");
    assert!(said.contains("1 process goes on"), "{said}");
}
