//! F: what processes print arrives, whole and in order, whatever becomes of them.

use neap::core::StateName;
use neap::spec::{LogSettings, Stream};
use neap::{Lines, Next, StreamKind};

use crate::support::{root_or_skip, wait_until};
use crate::world::{World, at_once, await_lines, does, done, lines, within};

fn next(follower: &mut Lines) -> neap::Line {
    within("a line comes", async {
        match follower.next().await {
            Some(Next::Item(line)) => line,
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn f5_last_words_are_there_once_the_end_is_known() {
    let mut world = World::new();
    let words = ["print", "500", "printraw", "and without an end", "kill-self", "KILL"];
    let process = world.start(does("web", &words));
    world.await_state("web", StateName::Failed);
    let printed = lines(&process);
    assert_eq!(printed.len(), 501);
    assert_eq!((printed[499].as_str(), printed[500].as_str()), ("line 500", "and without an end"));
    assert!(process.logs(1)[0].partial);
}

#[test]
fn f5_a_grandchild_that_holds_the_pipe_does_not_delay_the_end() {
    let mut world = World::new();
    let spec = does("web", &["fork", "{", "wait", "}", "say", "bye", "exit", "0"]).stop(
        neap::spec::Stop::signal(neap::spec::Signal::TERM, crate::support::DEADLINE)
            .mode(neap::spec::StopMode::Process),
    );
    let process = world.start(spec);
    let status = world.await_exit("web");
    assert_eq!(status, neap::core::ExitStatus::Code(0));
    world.await_state("web", StateName::Exited);
    assert_eq!(lines(&process), ["bye"]);
    kill_leftovers();
}

/// What mode `process` leaves alone is ours to end here.
fn kill_leftovers() {
    for pid in crate::support::processes() {
        let stat = neap::driver::identity::Stat::of(neap::core::Pid(pid));
        let words = crate::support::command_line(pid);
        if stat.is_ok() && words.contains("examples/actor fork { wait } say bye") {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            // Its cgroup can then be removed with the supervisor's own.
            wait_until("what was left behind has ended", || {
                crate::world::is_dead(neap::core::Pid(pid.as_raw() as u32))
            });
        }
    }
}

#[test]
fn f1_every_line_arrives_once_and_in_order_over_restarts_in_ring_follower_and_file() {
    let mut world = World::new();
    let mut follower = world.supervisor.output();
    let log = LogSettings { ring: 1 << 20, file: Some("web.log".into()), ..LogSettings::default() };
    let spec = does("web", &["print", "2000", "exit", "0"]).log(log);
    let process = world.add(spec);
    for _ in 0..3 {
        done(process.start()).unwrap();
        world.await_state("web", StateName::Exited);
    }
    let expected: Vec<String> = (0..3).flat_map(|_| (1..=2000).map(|n| format!("line {n}"))).collect();
    for want in &expected {
        let line = next(&mut follower);
        assert_eq!((&*line.process, line.stream, line.partial), ("web", StreamKind::Stdout, false));
        assert_eq!(String::from_utf8_lossy(&line.text), *want);
    }
    assert_eq!(lines(&process), expected);
    let text = || std::fs::read_to_string(world.dir.join("web.log")).unwrap();
    wait_until("the file has all lines", || text().lines().count() == expected.len());
    assert_eq!(text().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn f4_a_line_without_an_end_is_cut_and_put_together_again() {
    let mut world = World::new();
    let mut follower = world.supervisor.output();
    let long = "x".repeat(100_000);
    world.start(does("web", &["printraw", &long, "printraw", "\u{7f}\t!\n", "exit", "0"]));
    world.await_state("web", StateName::Exited);
    let mut text = Vec::new();
    loop {
        let line = next(&mut follower);
        assert!(line.text.len() <= 16 << 10);
        text.extend_from_slice(&line.text);
        if !line.partial {
            break;
        }
    }
    assert_eq!(text, format!("{long}\u{7f}\t!").into_bytes());
}

#[test]
fn the_log_file_is_rotated_without_losing_a_line() {
    let mut world = World::new();
    let log = LogSettings { file: Some("web.log".into()), max_size: 10_000, keep: 20, ..LogSettings::default() };
    world.start(does("web", &["print", "10000", "exit", "0"]).log(log));
    world.await_state("web", StateName::Exited);
    // All is written when the supervisor has ended.
    done(world.supervisor.shutdown()).unwrap();
    let mut text = String::new();
    for n in (1..=20).rev() {
        text += &std::fs::read_to_string(world.dir.join(format!("web.log.{n}"))).unwrap_or_default();
    }
    text += &std::fs::read_to_string(world.dir.join("web.log")).unwrap();
    let all: Vec<&str> = text.lines().collect();
    assert_eq!(all.len(), 10_000);
    assert!(all.iter().zip(1..).all(|(line, n)| *line == format!("line {n}")));
}

#[test]
fn streams_go_where_the_spec_sends_them() {
    let mut world = World::new();
    let spec = does("web", &["say", "out", "complain", "err", "fds", "exit", "0"])
        .stdout(Stream::File("out.txt".into()))
        .stderr(Stream::Null);
    let process = world.add(spec);
    for _ in 0..2 {
        done(process.start()).unwrap();
        world.await_state("web", StateName::Exited);
    }
    let text = std::fs::read_to_string(world.dir.join("out.txt")).unwrap();
    let runs: Vec<&str> = text.lines().filter(|l| *l == "out").collect();
    assert_eq!(runs.len(), 2, "{text}");
    assert!(text.contains("2 /dev/null"), "{text}");
    assert!(lines(&process).is_empty());
}

#[test]
fn a_folder_in_the_log_files_place_fails_the_start_and_names_it() {
    let world = World::new();
    std::fs::create_dir(world.dir.join("web.log")).unwrap();
    let log = LogSettings { file: Some("web.log".into()), ..LogSettings::default() };
    let process = world.add(does("web", &["wait"]).log(log));
    let error = done(process.start()).unwrap_err().to_string();
    assert!(error.contains("web.log"), "{error}");
}

#[test]
fn another_users_link_in_place_of_an_output_file_is_not_followed() {
    if !root_or_skip("another_users_link_in_place_of_an_output_file_is_not_followed") {
        return;
    }
    let world = World::new();
    let victim = world.dir.join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, world.dir.join("out.txt")).unwrap();
    let file = Stream::File("out.txt".into());
    let process = world.add(does("web", &["say", "mine", "exit", "0"]).stdout(file.clone()).user("nobody"));
    let refused = done(process.start()).unwrap_err().to_string();
    assert!(refused.contains("out.txt"), "{refused}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    world.start(does("own", &["say", "mine", "wait"]).stdout(file));
    crate::support::wait_until("it is written", || std::fs::read_to_string(&victim).unwrap() == "preciousmine\n");
}

#[test]
fn another_user_may_open_its_own_stdout() {
    if !root_or_skip("another_user_may_open_its_own_stdout") {
        return;
    }
    let mut world = World::new();
    let process = world.start(does("web", &["out", "/dev/stdout", "say", "opened", "exit", "0"]).user("nobody"));
    world.await_state("web", StateName::Exited);
    assert_eq!(lines(&process), ["opened"]);
}

#[test]
fn a_chatty_process_holds_up_nobody() {
    let mut world = World::new();
    let chatty = world.start(does("chatty", &["repeat", "1000000", "{", "print", "1000", "}"]));
    let quiet = world.start(does("quiet", &["say", "here", "wait"]).restart(at_once()));
    await_lines(&quiet, 1);
    world.await_executed("quiet");
    done(quiet.signal(neap::spec::Signal::KILL)).unwrap();
    world.await_executed("quiet");
    await_lines(&quiet, 2);
    assert!(chatty.dropped_lines() > 0);
}

#[test]
fn f1_more_than_a_file_takes_at_once_arrives_whole() {
    let mut world = World::new();
    let log = LogSettings { file: Some("web.log".into()), max_size: 1 << 30, ..LogSettings::default() };
    world.start(does("web", &["print", "500000", "exit", "0"]).log(log));
    world.await_state("web", StateName::Exited);
    done(world.supervisor.shutdown()).unwrap();
    let text = std::fs::read_to_string(world.dir.join("web.log")).unwrap();
    assert_eq!(text.lines().count(), 500_000);
    assert!(text.lines().zip(1..).all(|(line, n)| line.strip_prefix("line ") == Some(&n.to_string())));
}
