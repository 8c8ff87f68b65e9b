//! F1 to F10 with files: full and frozen disks, strangers in the folder, rotation, and reading back.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use neap::core::StateName;
use neap::driver::sys::fault::{self, Call};
use neap::spec::{LogSettings, Signal};
use neap::{LogFrom, LogReader};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};

use crate::kept::Kept;
use crate::support::{root_or_skip, skipped, wait_until};
use crate::world::{World, at_once, await_lines, does, done, lines};

fn to_file(file: &str) -> LogSettings {
    LogSettings { file: Some(file.into()), ..LogSettings::default() }
}

/// Runs on a thread with mounts of its own; what it starts has them, too.
fn with_mounts_of_its_own(test: impl FnOnce() + Send + 'static) {
    let test = move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        test();
    };
    if let Err(panic) = thread::spawn(test).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Checks that `line 1` to `line count` are all there in order, or counted where they are missing; returns how many are.
fn check_told(text: &str, count: u64) -> u64 {
    let (mut next, mut missing) = (1, 0);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("neap: ") {
            let lost: u64 = rest.split(' ').next().unwrap().parse().unwrap();
            let bytes: usize = rest.split(['(', ' ']).nth(3).unwrap().parse().unwrap();
            let lines: usize = (next..next + lost).map(|n| format!("line {n}\n").len()).sum();
            assert_eq!(bytes, lines, "{line}");
            (next, missing) = (next + lost, missing + lost);
        } else {
            assert_eq!(line, format!("line {next}"));
            next += 1;
        }
    }
    assert_eq!(next, count + 1);
    missing
}

/// How far a text goes: its lines and those that it says are missing.
fn told(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let count = |line: &str| match line.strip_prefix("neap: ") {
        Some(rest) => rest.split(' ').next().unwrap().parse().unwrap(),
        None => 1,
    };
    text.lines().map(count).sum()
}

/// Restarts a process and hears from it, while another one's file does not answer.
fn others_are_well(world: &mut World) {
    let other = world.start(does("other", &["say", "here", "wait"]).restart(at_once()).log(to_file("other.log")));
    await_lines(&other, 1);
    world.await_executed("other");
    done(other.signal(Signal::KILL)).unwrap();
    world.await_executed("other");
    await_lines(&other, 2);
    other.flush_log();
    assert_eq!(fs::read_to_string(world.dir.join("other.log")).unwrap(), "here\nhere\n");
}

#[test]
fn f1_a_flood_through_rotation_is_whole_however_often_its_supervisor_is_killed() {
    const ROUNDS: usize = 700;
    let kept = Kept::new(&["logs"]);
    let log = LogSettings { max_size: 200_000, keep: 100, ..LogSettings::default() };
    kept.start(&does("web", &["repeat", &ROUNDS.to_string(), "{", "print", "1000", "}", "exit", "0"]).log(log));
    let folder = kept.dir.join("log");
    let size =
        || -> u64 { fs::read_dir(&folder).unwrap().flatten().map(|e| e.metadata().map_or(0, |m| m.len())).sum() };
    for n in 1..=8 {
        wait_until("more is printed", || size() > n * 700_000);
        kept.kill();
    }
    let status = kept.await_state("web", StateName::Exited);
    assert_eq!(status.run_count, 1);
    let text = || -> String {
        let name = |n: u32| if n == 0 { "web.log".into() } else { format!("web.log.{n}") };
        (0..=100).rev().filter_map(|n| fs::read_to_string(folder.join(name(n))).ok()).collect()
    };
    wait_until("all is written", || text().lines().count() >= ROUNDS * 1000);
    let text = text();
    assert_eq!(text.lines().count(), ROUNDS * 1000);
    assert!(text.lines().enumerate().all(|(n, line)| line.strip_prefix("line ") == Some(&(n % 1000 + 1).to_string())));
    assert!(folder.join("web.log.10").exists());
    assert_eq!(kept.lines("web").last().map(String::as_str), Some("line 1000"));
}

#[test]
fn f2_a_full_disk_holds_up_nobody_for_long_and_what_is_missing_is_told_exactly() {
    const TEST: &str = "f2_a_full_disk_holds_up_nobody_for_long_and_what_is_missing_is_told_exactly";
    if !root_or_skip(TEST) {
        return;
    }
    with_mounts_of_its_own(|| {
        const LINES: u64 = 300_000;
        let mut world = World::new();
        let small = world.dir.join("small");
        fs::create_dir(&small).unwrap();
        mount(Some("neap"), &small, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
        let process =
            world.start(does("web", &["print", &LINES.to_string(), "exit", "0"]).log(to_file("small/web.log")));
        others_are_well(&mut world);
        // It is not held up for ever, although nothing more can be written.
        world.await_state("web", StateName::Exited);
        let path = small.join("web.log");
        assert!(fs::metadata(&path).unwrap().len() <= 64 << 10);
        assert_eq!(lines(&process).last().map(String::as_str), Some(format!("line {LINES}").as_str()));
        mount(None::<&str>, &small, None::<&str>, MsFlags::MS_REMOUNT, Some("size=64m")).unwrap();
        wait_until("all is written or told of", || told(&path) == LINES);
        let text = fs::read_to_string(&path).unwrap();
        assert!(check_told(&text, LINES) > 0, "more was printed than pipes hold");
        assert!(
            text.contains("are missing here: No space left on device"),
            "{:?}",
            text.lines().find(|l| l.contains("neap"))
        );
        // And on it goes.
        done(process.start()).unwrap();
        wait_until("the next run is written", || fs::read_to_string(&path).unwrap().ends_with("line 300000\n"));
        done(process.delete(true)).unwrap();
        wait_until("nobody uses it any more", || umount(&small).is_ok());
    });
}

/// A file system that answers nobody until this is dropped.
struct Frozen<'a>(&'a Path);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(self.0).status();
    }
}

/// Makes and mounts a file system of its own there.
fn own_file_system(image: &Path, at: &Path) -> bool {
    fs::write(image, "").unwrap();
    fs::OpenOptions::new().write(true).open(image).unwrap().set_len(32 << 20).unwrap();
    fs::create_dir(at).unwrap();
    let works = |command: &mut Command| command.output().is_ok_and(|out| out.status.success());
    works(Command::new("mkfs.ext4").arg("-q").arg(image))
        && works(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at))
}

#[test]
fn f3_a_frozen_disk_holds_up_nobody_for_long_and_what_is_missing_is_told_exactly() {
    const TEST: &str = "f3_a_frozen_disk_holds_up_nobody_for_long_and_what_is_missing_is_told_exactly";
    if !root_or_skip(TEST) {
        return;
    }
    with_mounts_of_its_own(|| {
        const LINES: u64 = 300_000;
        let mut world = World::new();
        let disk = world.dir.join("disk");
        if !own_file_system(&world.dir.join("image"), &disk) {
            return skipped(TEST, "no file system of its own can be mounted here");
        }
        let go = world.dir.join("go");
        fs::write(&go, "").unwrap();
        let words = ["say", "line 1", "gone", go.to_str().unwrap(), "print", &LINES.to_string(), "exit", "0"];
        let process = world.start(does("web", &words).log(to_file("disk/web.log")));
        let path = disk.join("web.log");
        wait_until("the first line is written", || fs::read_to_string(&path).is_ok_and(|text| text == "line 1\n"));
        if !Command::new("fsfreeze").arg("--freeze").arg(&disk).status().is_ok_and(|s| s.success()) {
            skipped(TEST, "no file system can be frozen here");
        } else {
            let frozen = Frozen(&disk);
            fs::remove_file(&go).unwrap();
            others_are_well(&mut world);
            world.await_state("web", StateName::Exited);
            assert_eq!(lines(&process).last().map(String::as_str), Some(format!("line {LINES}").as_str()));
            drop(frozen);
            wait_until("all is written or told of", || told(&path) == LINES + 1);
            let text = fs::read_to_string(&path).unwrap();
            let text = text.strip_prefix("line 1\n").unwrap();
            assert!(check_told(text, LINES) > 0, "more was printed than pipes hold");
            assert!(text.contains("are missing here: the file was too slow"));
        }
        done(process.delete(true)).unwrap();
        wait_until("nobody uses it any more", || umount(&disk).is_ok());
    });
}

#[test]
fn f6_strangers_in_the_place_of_the_file_are_left_alone_and_nothing_is_lost() {
    let mut world = World::new();
    let step = |n: u32| world.dir.join(format!("step{n}"));
    let steps: Vec<_> = (0..4).map(step).collect();
    steps.iter().for_each(|step| fs::write(step, "").unwrap());
    let mut words = vec!["say", "first"];
    for (step, word) in steps.iter().zip(["second", "third", "fourth", "fifth"]) {
        words.extend(["gone", step.to_str().unwrap(), "say", word]);
    }
    words.extend(["exit", "0"]);
    let path = world.dir.join("web.log");
    let victim = world.dir.join("victim");
    fs::write(&victim, "precious").unwrap();
    let process = world.start(does("web", &words).log(to_file("web.log")));
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let go = |n: usize, word: &str| {
        fs::remove_file(&steps[n]).unwrap();
        wait_until("it is printed", || lines(&process).last().is_some_and(|l| l == word));
        process.flush_log();
    };
    wait_until("it is written", || text(&path) == "first\n");

    // Removed.
    fs::remove_file(&path).unwrap();
    go(0, "second");
    wait_until("the file is there again", || text(&path) == "second\n");
    // A link to somebody's file.
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    go(1, "third");
    assert_eq!(text(&victim), "precious");
    // A folder.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    go(2, "fourth");
    assert!(fs::read_dir(&path).unwrap().next().is_none());
    fs::remove_dir(&path).unwrap();
    wait_until("what waited is written", || text(&path) == "third\nfourth\n");
    // Emptied.
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    go(3, "fifth");
    assert_eq!(text(&path), "fifth\n");
    world.await_state("web", StateName::Exited);
}

#[test]
fn f7_a_pipe_that_cannot_be_read_is_tried_again() {
    for errno in [Errno::ENOMEM, Errno::EIO] {
        for log in [LogSettings::default(), to_file("web.log")] {
            let mut world = World::new();
            let fault = fault::everywhere(Call::OutputRead, 3, 2, errno as i32);
            let process = world.start(does("web", &["print", "100000", "exit", "0"]).log(log.clone()));
            world.await_state("web", StateName::Exited);
            wait_until("the last line is read", || lines(&process).last().is_some_and(|l| l == "line 100000"));
            if log.file.is_some() {
                process.flush_log();
                assert_eq!(check_told(&fs::read_to_string(world.dir.join("web.log")).unwrap(), 100_000), 0);
            }
            drop(fault);
        }
    }
}

#[test]
fn f4_an_unfinished_line_is_written_after_a_moment_and_the_other_stream_does_not_get_into_it() {
    let mut world = World::new();
    let go = world.dir.join("go");
    fs::write(&go, "").unwrap();
    let words =
        ["printraw", "password: ", "gone", go.to_str().unwrap(), "complain", "timed out", "say", "bye", "exit", "0"];
    world.start(does("web", &words).log(to_file("web.log")));
    let path = world.dir.join("web.log");
    let text = || fs::read_to_string(&path).unwrap_or_default();
    wait_until("the prompt is written", || text() == "password: ");
    fs::remove_file(&go).unwrap();
    world.await_state("web", StateName::Exited);
    wait_until("the rest is written", || text() == "password: \ntimed out\nbye\n");
}

#[test]
fn f4_binary_output_is_in_the_file_as_it_was_printed() {
    let mut world = World::new();
    let raw = "\u{1b}[31mred\u{7}\r\nnul\u{1}\n";
    let process = world
        .start(does("web", &["printraw", raw, "printraw", &"y".repeat(70_000), "exit", "0"]).log(to_file("web.log")));
    world.await_state("web", StateName::Exited);
    process.flush_log();
    let text = fs::read(world.dir.join("web.log")).unwrap();
    // The end of the run ends the line.
    assert_eq!(text, format!("{raw}{}\n", "y".repeat(70_000)).into_bytes());
}

/// The lines until this one, with a mark where some are missing; waits for them.
fn until(reader: &mut LogReader, last: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let batch = reader.next_batch(1000).unwrap();
        if batch.lagged {
            all.push("(gap)".into());
        }
        all.extend(batch.lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()));
        if all.last().is_some_and(|line| line == last) {
            return all;
        }
        if batch.lines.is_empty() {
            assert!(reader.grown_blocking(), "nothing more will come after {:?}", all.last());
        }
    }
}

#[test]
fn f10_a_follower_of_the_file_sees_each_line_once_across_rotation_and_restarts() {
    let mut world = World::new();
    let log = LogSettings { max_size: 20_000, keep: 100, ..to_file("web.log") };
    let process = world.add(does("web", &["print", "20000", "say", "end", "exit", "0"]).log(log));
    assert!(process.read_log(LogFrom::Start).unwrap().is_none(), "there is no file before the first start");
    done(process.start()).unwrap();
    let mut reader = process.read_log(LogFrom::Start).unwrap().unwrap();
    let want: Vec<String> = (1..=20_000).map(|n| format!("line {n}")).chain(["end".into()]).collect();
    for _ in 0..3 {
        assert_eq!(until(&mut reader, "end"), want);
        world.await_state("web", StateName::Exited);
        done(process.start()).unwrap();
    }
    world.await_state("web", StateName::Exited);
    process.flush_log();
    let mut tail = process.read_log(LogFrom::Tail(5000)).unwrap().unwrap();
    assert_eq!(until(&mut tail, "end"), want[want.len() - 5000..]);
    done(process.delete(false)).unwrap();
    until(&mut reader, "end");
    assert!(!reader.grown_blocking());
}

#[test]
fn a_process_that_names_no_file_has_one_in_the_folder_of_logs() {
    let mut world = World::with(|builder| builder.log_dir("logs/deep"));
    let process = world.start(does("web", &["say", "kept", "exit", "0"]));
    world.start(
        does("null", &["say", "lost", "exit", "0"]).stdout(neap::spec::Stream::Null).stderr(neap::spec::Stream::Null),
    );
    world.await_state("null", StateName::Exited);
    process.flush_log();
    wait_until("it is written", || {
        fs::read_to_string(world.dir.join("logs/deep/web.log")).is_ok_and(|text| text == "kept\n")
    });
    assert!(!world.dir.join("logs/deep/null.log").exists());
}

#[test]
fn another_users_link_on_the_way_to_a_log_file_is_not_followed() {
    if !root_or_skip("another_users_link_on_the_way_to_a_log_file_is_not_followed") {
        return;
    }
    let world = World::new();
    fs::create_dir(world.dir.join("etc")).unwrap();
    fs::create_dir(world.dir.join("home")).unwrap();
    std::os::unix::fs::symlink(world.dir.join("etc"), world.dir.join("home/logs")).unwrap();
    std::os::unix::fs::lchown(world.dir.join("home/logs"), Some(65534), Some(65534)).unwrap();
    let process = world.add(does("web", &["wait"]).user("nobody").log(to_file("home/logs/web.log")));
    let refused = done(process.start()).unwrap_err().to_string();
    assert!(
        refused.contains("`logs` on the way is a symbolic link that another user could have put there"),
        "{refused}"
    );
    assert!(fs::read_dir(world.dir.join("etc")).unwrap().next().is_none());
}
