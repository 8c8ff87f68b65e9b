//! `neap up`.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::{Ended, Folder, Neap, Running};

/// `up` of a configuration with these processes.
fn up(folder: &Folder, processes: &str) -> Neap {
    let file = folder.write("neap.lua", &format!("local neap = require \"neap\"\n{processes}"));
    Neap::new(["up", file.to_str().unwrap()])
}

fn started(folder: &Folder, processes: &str) -> Running {
    up(folder, processes).start()
}

/// Where a line that contains this stands.
#[track_caller]
fn place(ended: &Ended, text: &str) -> usize {
    let found = ended.stdout.lines().position(|line| line.contains(text));
    found.unwrap_or_else(|| panic!("no `{text}` in:\n{}\n{}", ended.stdout, ended.stderr))
}

#[track_caller]
fn in_order(ended: &Ended, texts: &[&str]) {
    for pair in texts.windows(2) {
        assert!(place(ended, pair[0]) < place(ended, pair[1]), "{pair:?} in:\n{}", ended.stdout);
    }
}

const TRAPS: &str = "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.05; done";

#[test]
fn the_quickstart_comes_up_in_order_and_what_crashes_comes_back() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart.lua");
    let neap = Neap::new(["up", file]).start();
    neap.wait_for(|line| line.starts_with("worker") && line.contains("starts again in"));
    neap.wait_for_text("worker  | job 1");
    neap.signal(Signal::SIGINT);
    let ended = neap.end().expect_code(0);
    in_order(
        &ended,
        &["migrate * starting", "migrate * done", "db      * starting", "db      * running", "worker  * starting"],
    );
    in_order(&ended, &["worker  * stopped", "flushing to disk", "db      * stopped"]);
}

#[test]
fn ctrl_c_stops_in_reverse_order() {
    let folder = Folder::new();
    let config = format!(
        "local a = neap.process 'a' {{ shell = [[{TRAPS}]], ready = neap.logline 'hello' }}
         local b = neap.process 'b' {{ shell = [[{TRAPS}]], ready = neap.logline 'hello', requires = a }}
         neap.process 'c' {{ shell = [[{TRAPS}]], ready = neap.logline 'hello', requires = b }}"
    );
    let neap = started(&folder, &config);
    neap.wait_for_text("c    * running");
    neap.signal(Signal::SIGINT);
    let ended = neap.end().expect_code(0);
    in_order(&ended, &["a    * running", "b    * starting", "b    * running", "c    * starting", "c    * running"]);
    in_order(
        &ended,
        &["stopping 3 processes", "c    | bye", "c    * stopped", "b    | bye", "b    * stopped", "a    | bye"],
    );
}

#[test]
fn a_second_ctrl_c_escalates_past_what_ignores_term() {
    let folder = Folder::new();
    let deaf = "trap '' TERM; echo deaf; while :; do sleep 0.05; done";
    let neap = started(
        &folder,
        &format!(
            "neap.process 'deaf' {{ shell = [[{deaf}]], stop = {{ timeout = '1000s' }}, ready = neap.logline 'deaf' }}"
        ),
    );
    neap.wait_for_text("deaf * running");
    neap.signal(Signal::SIGINT);
    let waits = neap.wait_for_text("waiting for deaf (pid ");
    assert!(waits.contains(" of 16 min 40 s)"), "{waits}");
    neap.signal(Signal::SIGINT);
    let ended = neap.end();
    place(&ended, "killing what is left");
    assert!(ended.status.code().is_some(), "{ended:?}");
}

#[test]
fn term_stops_as_ctrl_c_does() {
    let folder = Folder::new();
    let neap = started(&folder, &format!("neap.process 'a' {{ shell = [[{TRAPS}]], ready = neap.logline 'hello' }}"));
    neap.wait_for_text("a    * running");
    neap.signal(Signal::SIGTERM);
    let ended = neap.end().expect_code(0);
    place(&ended, "a    | bye");
}

#[test]
fn up_ends_when_nothing_can_run_again() {
    let folder = Folder::new();
    let ended = up(&folder, "neap.process 'a' { shell = 'echo hi', restart = 'never' }").end().expect_code(0);
    in_order(&ended, &["a    * starting", "a    | hi", "a    * done"]);
    let ended = up(&folder, "neap.process 'a' { shell = 'exit 3', restart = 'never' }").end().expect_code(1);
    in_order(&ended, &["a    * starting", "a    * failed: exit code 3"]);
    assert!(ended.stderr.contains("a failed: exit code 3"), "{}", ended.stderr);
}

#[test]
fn up_ends_with_the_critical_processs_code() {
    let folder = Folder::new();
    let config = format!(
        "neap.process 'main' {{ shell = 'sleep 0.2; exit 9', restart = 'never', critical = true }}
         neap.process 'side' {{ shell = [[{TRAPS}]] }}"
    );
    let _ = up(&folder, &config).end().expect_code(9);
}

#[test]
fn only_starts_what_is_named_and_what_it_needs() {
    let folder = Folder::new();
    let config = "local db = neap.process 'db' { type = 'oneshot', shell = 'echo db' }
         neap.process 'web-1' { type = 'oneshot', shell = 'echo web', requires = db }
         neap.process 'other' { type = 'oneshot', shell = 'echo other' }";
    let file = folder.write("neap.lua", &format!("local neap = require \"neap\"\n{config}"));
    let ended = Neap::new(["up", file.to_str().unwrap(), "--only", "web-*"]).end().expect_code(0);
    in_order(&ended, &["db    * done", "web-1 * starting"]);
    assert!(ended.stdout.contains("| db") && ended.stdout.contains("| web"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("| other"), "{}", ended.stdout);
    let ended = Neap::new(["up", file.to_str().unwrap(), "--only", "othr"]).end().expect_code(3);
    assert!(ended.stderr.contains("did you mean `other`?"), "{}", ended.stderr);
}

#[test]
fn a_configuration_that_fails_starts_nothing() {
    let folder = Folder::new();
    let ended = up(&folder, "neap.process 'a' { shell = 'echo hi' }\nneap.process 'b' { shel = 'echo hi' }").end();
    let ended = ended.expect_code(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("neap.lua:3: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("     3 | neap.process 'b' { shel = 'echo hi' }"), "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing was started"), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_executed_is_said() {
    let folder = Folder::new();
    let ended =
        up(&folder, "neap.process 'a' { command = '/no/such/program', restart = 'never' }").end().expect_code(1);
    place(&ended, "/no/such/program");
}

#[test]
fn a_pipe_gets_neither_colours_nor_escapes() {
    let folder = Folder::new();
    let config = r"neap.process 'a' { shell = [[printf 'x\033[31my\n']], restart = 'never' }";
    let ended = up(&folder, config).end().expect_code(0);
    place(&ended, "a    | x\x1b[31my");
    assert!(!ended.stdout.replace("x\x1b[31my", "").contains('\x1b'), "{:?}", ended.stdout);
}

#[test]
fn colours_come_when_asked_for_and_not_when_refused() {
    let folder = Folder::new();
    let config = folder.write("neap.lua", "require('neap').process 'a' { shell = 'echo hi', restart = 'never' }");
    let config = config.to_str().unwrap();
    let always = Neap::new(["up", config, "--color", "always"]).env("NO_COLOR", "1").end().expect_code(0);
    assert!(always.stdout.contains("\x1b["), "{:?}", always.stdout);
    let never = Neap::new(["up", config, "--color=never"]).end().expect_code(0);
    assert!(!never.stdout.contains('\x1b'), "{:?}", never.stdout);
}

/// Runs the command on a terminal of its own, which script(1) makes.
fn on_a_terminal(command: &str, variables: &[(&str, &str)]) -> Option<String> {
    let mut script = Command::new("script");
    script.args(["-qec", command, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    script.env_remove("NO_COLOR").env("TERM", "xterm").envs(variables.iter().copied());
    let mut child = script.spawn().ok()?;
    let mut text = Vec::new();
    child.stdout.take()?.read_to_end(&mut text).ok()?;
    child.wait().ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_terminal_gets_colours_and_is_not_steered() {
    let folder = Folder::new();
    let config = r"require('neap').process 'a' { shell = [[printf 'x\033[2Jy\n']], restart = 'never' }";
    let config = folder.write("neap.lua", config);
    let command = format!("{} up {}", env!("CARGO_BIN_EXE_neap"), config.display());
    let Some(coloured) = on_a_terminal(&command, &[]) else {
        println!("skipped: a_terminal_gets_colours_and_is_not_steered: there is no script(1)");
        return;
    };
    assert!(coloured.contains("x\\x1b[2Jy"), "{coloured:?}");
    assert!(coloured.contains("\x1b[3"), "{coloured:?}");
    let plain = on_a_terminal(&command, &[("NO_COLOR", "1")]).unwrap();
    assert!(plain.contains("x\\x1b[2Jy") && !plain.contains('\x1b'), "{plain:?}");
}

#[test]
fn a_reader_that_goes_away_ends_it_in_order() {
    let folder = Folder::new();
    let config = format!(
        "neap.process 'a' {{ shell = [[trap ': >{0}/bye; exit 0' TERM; while :; do echo tick; sleep 0.05; done]] }}",
        folder.path().display()
    );
    let file = folder.write("neap.lua", &format!("local neap = require \"neap\"\n{config}"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_neap"))
        .args(["up", file.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The trap is set once it has printed something.
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("tick") {
        line.clear();
        assert_ne!(shown.read_line(&mut line).unwrap(), 0, "it prints");
    }
    drop(shown);
    child.wait().unwrap();
    assert!(folder.path().join("bye").exists());
}

#[test]
fn hang_up_does_nothing_under_nohup() {
    let folder = Folder::new();
    let config = format!("neap.process 'a' {{ shell = [[{TRAPS}]], ready = neap.logline 'hello' }}");
    let file = folder.write("neap.lua", &format!("local neap = require \"neap\"\n{config}"));
    let mut nohup = Command::new("nohup");
    nohup.args([env!("CARGO_BIN_EXE_neap"), "up", file.to_str().unwrap()]);
    let mut child = nohup.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    lines.find(|line| line.as_ref().unwrap().contains("* running")).unwrap().unwrap();
    nix::sys::signal::kill(pid, Signal::SIGHUP).unwrap();
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest.iter().any(|line| line.contains("a    | bye")), "{rest:?}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn orphans_leave_no_zombies() {
    let folder = Folder::new();
    // Each leaves its session and its parent, ends at once, and is nobody's child then but ours.
    let script = "for i in 1 2 3 4 5; do (setsid true &); done; echo made; exec sleep 1000";
    let neap = started(&folder, &format!("neap.process 'a' {{ shell = [[{script}]] }}"));
    neap.wait_for_text("a    | made");
    let children = |pid: &str| {
        let of_main_thread = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        of_main_thread.split_whitespace().map(str::to_owned).collect::<Vec<String>>()
    };
    // The anchor's only child is the supervisor, whose main thread has no children but orphans.
    let zombies = || {
        let supervisors = children(&neap.pid().to_string());
        supervisors.len() - 1 + supervisors.first().map_or(0, |supervisor| children(supervisor).len())
    };
    let deadline = std::time::Instant::now() + crate::support::DEADLINE;
    while zombies() > 0 {
        assert!(std::time::Instant::now() < deadline, "{} are left", zombies());
        std::thread::yield_now();
    }
    neap.signal(Signal::SIGTERM);
    let _ = neap.end().expect_code(0);
}

#[test]
fn a_signal_that_comes_twice_at_once_counts_once() {
    let folder = Folder::new();
    let slow = "trap 'sleep 0.3; echo bye; exit 0' TERM; echo hello; while :; do sleep 0.05; done";
    let config =
        format!("neap.process 'a' {{ shell = [[{slow}]], ready = neap.logline 'hello', stop = {{ mode = 'mixed' }} }}");
    let neap = started(&folder, &config);
    neap.wait_for_text("a    * running");
    neap.signal(Signal::SIGINT);
    neap.signal(Signal::SIGTERM);
    let ended = neap.end().expect_code(0);
    place(&ended, "a    | bye");
}

#[test]
fn a_stop_whose_supervisor_is_killed_is_gone_on_with_and_not_hurried() {
    let folder = Folder::new();
    let enough = folder.path().join("enough");
    let flush = format!("while [ ! -e {} ]; do sleep 0.05; done; echo flushed; exit 0", enough.display());
    let slow = format!("trap 'echo told; {flush}' TERM; echo hello; while :; do sleep 0.05; done");
    let config = format!("neap.process 'a' {{ shell = [[{slow}]], stop = {{ mode = 'mixed', timeout = '60s' }} }}");
    let neap = started(&folder, &config);
    neap.wait_for_text("a    | hello");
    neap.signal(Signal::SIGTERM);
    neap.wait_for_text("a    | told");
    nix::sys::signal::kill(neap.supervisor(), Signal::SIGKILL).unwrap();
    // The signal is passed on again: it may have been lost with the one that was killed.
    neap.wait_for_text("stopping 1 process");
    std::fs::write(enough, "").unwrap();
    let ended = neap.end().expect_code(0);
    place(&ended, "a    | flushed");
}

#[test]
fn what_a_configuration_says_is_shown() {
    let folder = Folder::new();
    let config = "print('evaluated'); neap.log.debug('not this'); neap.log.info('noted', { code = 3 })
         neap.process 'a' { type = 'oneshot', shell = 'true' }
         neap.on('process.exited', function(event) neap.log.warn(event.process .. ' is over') end)
         neap.process 'b' { type = 'oneshot', shell = 'sleep 0.3', after = 'a' }";
    let ended = up(&folder, config).end().expect_code(0);
    in_order(
        &ended,
        &["neap * evaluated", "neap * info: noted code=3", "a    * done", "neap * warn: a is over", "b    * done"],
    );
    assert!(!ended.stdout.contains("not this"), "{}", ended.stdout);
}

#[test]
fn ctrl_c_while_the_configuration_is_evaluated_ends_it_at_once() {
    let folder = Folder::new();
    let neap = started(&folder, "while true do end");
    let deadline = std::time::Instant::now() + crate::support::DEADLINE;
    // It takes its signals once they are blocked.
    let blocked = |status: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (Signal::SIGINT as i32 - 1)) != 0
    };
    while !blocked(&std::fs::read_to_string(format!("/proc/{}/status", neap.pid())).unwrap()) {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    neap.signal(Signal::SIGINT);
    let _ = neap.end().expect_code(130);
}

#[test]
fn one_ctrl_c_while_it_ends_by_itself_does_not_kill() {
    let folder = Folder::new();
    let slow = "trap 'echo ending; sleep 0.5; echo bye; exit 0' TERM; echo hello; while :; do sleep 0.05; done";
    let config = format!(
        "local side = neap.process 'side' {{ shell = [[{slow}]], ready = neap.logline 'hello', stop = {{ mode = 'mixed' }} }}
         neap.process 'main' {{ shell = 'exit 9', restart = 'never', critical = true, after = side }}"
    );
    let neap = started(&folder, &config);
    neap.wait_for_text("side | ending");
    neap.signal(Signal::SIGINT);
    let ended = neap.end().expect_code(9);
    place(&ended, "side | bye");
}

#[test]
fn one_that_could_not_be_reached_and_so_ended_does_not_keep_the_next_from_starting() {
    let folder = Folder::new();
    let reachable = |yes: bool| {
        let mode = if yes { 0o755 } else { 0o777 };
        std::fs::set_permissions(folder.path().join("open"), std::fs::Permissions::from_mode(mode)).unwrap();
        let neap = up(&folder, "neap.process 'a' { command = 'sleep 1000' }");
        let below = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        neap.env("XDG_RUNTIME_DIR", &below("open/run")).env("XDG_STATE_HOME", &below("state"))
    };
    for name in ["open", "open/run", "state"] {
        std::fs::DirBuilder::new().mode(0o700).create(folder.path().join(name)).unwrap();
    }
    let refused = reachable(false).end().expect_code(1);
    assert!(refused.stderr.contains("the control socket cannot be made"), "{refused:?}");
    let neap = reachable(true).start();
    neap.wait_for(|line| line.starts_with("a ") && line.contains("* running"));
    neap.signal(Signal::SIGINT);
    neap.end().expect_code(0);
}
