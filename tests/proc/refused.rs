//! B1, D1: what a kernel or a container refuses, provoked for real in processes of their own.

use neap::core::ExitStatus;
use neap::driver::spawn::{Ids, Launcher, Method, RlimitSet};
use neap::driver::{limits, sys};

use crate::run::{actor_launch, in_a_process_of_its_own, run, run_actor};
use crate::support::{Epilogue, TempDir, descriptors, root_or_skip, skipped};

/// Has the kernel answer these system calls with ENOSYS from now on, as a container's filter would.
fn refuse(calls: &[libc::c_long]) -> bool {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for (left, call) in (0..calls.len()).rev().zip(calls) {
        program.push(statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, left as u8 + 1, 0, *call as u32));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    let refusal = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    program.push(statement(libc::BPF_RET | libc::BPF_K, 0, 0, refusal));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter lives through the call, which copies it.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
    }
}

#[test]
fn where_a_filter_refuses_clone3_children_are_copies() {
    let _epilogue = Epilogue::new();
    in_a_process_of_its_own(&["env"], "refused::inside_a_filter_on_clone3");
    in_a_process_of_its_own(&["env"], "refused::inside_a_filter_on_close_range");
}

#[test]
#[ignore = "run in a process of its own by another test"]
fn inside_a_filter_on_clone3() {
    if !refuse(&[libc::SYS_clone3]) {
        return skipped("inside_a_filter_on_clone3", "no seccomp here");
    }
    let launcher = Launcher::new();
    let status = launcher.status();
    assert_eq!(status.method, Method::Fork);
    assert_eq!(status.reason, "clone3 is refused (function not implemented)");
    assert_eq!(run_actor(&launcher, &["say", "hello", "exit", "3"]), (ExitStatus::Code(3), "hello\n".to_owned()));
}

#[test]
#[ignore = "run in a process of its own by another test"]
fn inside_a_filter_on_close_range() {
    if !refuse(&[libc::SYS_close_range]) {
        return skipped("inside_a_filter_on_close_range", "no seccomp here");
    }
    let launcher = Launcher::new();
    assert_eq!(launcher.status().reason, "close_range is refused");
    let (_, text) = run_actor(&launcher, &["fds"]);
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn where_children_stay_open_to_debuggers_those_with_another_user_are_copies() {
    let test = "where_children_stay_open_to_debuggers_those_with_another_user_are_copies";
    if !root_or_skip(test) {
        return;
    }
    let _epilogue = Epilogue::new();
    let folder = TempDir::new();
    let fake = folder.join("suid_dumpable");
    std::fs::write(&fake, "1\n").unwrap();
    let script = "mount --make-rprivate / && mount --bind \"$0\" /proc/sys/fs/suid_dumpable && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", script, fake.to_str().unwrap()];
    in_a_process_of_its_own(&wrapper, "refused::inside_a_machine_with_open_children");
}

#[test]
#[ignore = "run in a mount namespace of its own by another test"]
fn inside_a_machine_with_open_children() {
    if std::fs::read_to_string("/proc/sys/fs/suid_dumpable").is_ok_and(|t| t.trim() != "1") {
        return skipped("inside_a_machine_with_open_children", "the setting cannot be covered");
    }
    let launcher = Launcher::new();
    assert_eq!(run_actor(&launcher, &["exit", "3"]).0, ExitStatus::Code(3));
    assert_eq!(launcher.status().reason, "", "nobody changed their user yet");
    let mut launch = actor_launch(&["state"]);
    launch.ids = Some(Ids { uid: 54_321, gid: 54_321, groups: vec![], label: "somebody".into() });
    let (_, text) = run(&launcher, launch).unwrap();
    assert!(text.contains("Uid=54321 54321 54321 54321\n"), "{text}");
    assert_eq!(launcher.status().method, Method::Clone3);
    assert!(launcher.status().reason.contains("fs.suid_dumpable is 1"));
}

#[test]
fn descriptors_kept_long_live_above_the_others_as_far_as_the_limit_allows() {
    let _epilogue = Epilogue::new();
    for (limit, lowest) in [("20000", 1024), ("1024", 256), ("100", 25), ("40", 16)] {
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        // The test harness itself needs a few.
        let wrapper = ["env", &format!("LOWEST={lowest}"), "sh", "-c", &script];
        in_a_process_of_its_own(&wrapper, "refused::inside_a_limit_on_descriptors");
    }
}

#[test]
#[ignore = "run in a process of its own by another test"]
fn inside_a_limit_on_descriptors() {
    use std::os::fd::AsRawFd;

    let lowest: i32 = std::env::var("LOWEST").unwrap().parse().unwrap();
    if lowest == 1024 && sys_limit() <= 1024 {
        return skipped("inside_a_limit_on_descriptors", "the limit cannot be raised");
    }
    let before = descriptors().len();
    for _ in 0..3 {
        let (read, _write) = neap::driver::sys::pipe().unwrap();
        let high = sys::high_fd(read);
        assert!(high.as_raw_fd() >= lowest, "{high:?}");
    }
    assert_eq!(descriptors().len(), before);
    assert_eq!(run_actor(&Launcher::new(), &["exit", "3"]).0, ExitStatus::Code(3));
}

fn sys_limit() -> u64 {
    nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().0
}

#[test]
fn a_limit_that_may_not_be_raised_is_told_by_name() {
    let _epilogue = Epilogue::new();
    let hard = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().1;
    let mut launch = actor_launch(&["exit", "0"]);
    // Above what the kernel allows anybody (fs.nr_open).
    launch.rlimits = vec![RlimitSet { resource: limits::resource("nofile").unwrap(), soft: hard, hard: u64::MAX }];
    let e = run(&Launcher::new(), launch).unwrap_err();
    let expected = format!("cannot set resource limit `nofile` to {hard} (at most infinity): operation not permitted");
    // Which right would be needed is told where it lacks: not every root has it.
    assert!(e.message.starts_with(&expected), "{}", e.message);
}
