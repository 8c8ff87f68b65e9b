//! Directories that are made for processes: where, whose, for how long, and what is not done for a planted link.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use neap::core::StateName;
use neap::spec::{Directory, Hook, Restart};

use crate::kept::Kept;
use crate::support::{root_or_skip, wait_until};
use crate::world::{World, at_once, await_lines, does, done, lines, pid};

/// A supervisor with all four places in the test's folder: `run`, `state`, `cache` and `log`.
fn world() -> World {
    let world = World::with(|builder| {
        builder.runtime_dir("run").state_directories("state").cache_directories("cache").logs_directories("log")
    });
    // Users that processes run as must get there.
    fs::set_permissions(world.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    world
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn owner(path: &Path) -> (u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.uid(), found.gid())
}

fn variable(lines: &[String], name: &str) -> String {
    lines.iter().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap_or_else(|| panic!("{lines:?}")).into()
}

#[test]
fn directories_of_all_four_kinds_are_made_with_their_modes_and_told() {
    let mut world = world();
    let spec = does("web", &["env"])
        .runtime_directory("web")
        .runtime_directory(Directory::new("web/secret").mode(0o700))
        .state_directory(Directory::new("web").mode(0o750))
        .cache_directory("deep/below/web")
        .logs_directory("web");
    let process = world.start(spec);
    world.await_state("web", StateName::Exited);
    let (lines, dir) = (lines(&process), world.dir.path());
    let path = |name: &str| dir.join(name).display().to_string();
    assert_eq!(variable(&lines, "RUNTIME_DIRECTORY"), format!("{}:{}", path("run/web"), path("run/web/secret")));
    assert_eq!(variable(&lines, "STATE_DIRECTORY"), path("state/web"));
    assert_eq!(variable(&lines, "CACHE_DIRECTORY"), path("cache/deep/below/web"));
    assert_eq!(variable(&lines, "LOGS_DIRECTORY"), path("log/web"));
    let made = ["state/web", "cache/deep", "cache/deep/below/web", "log/web"];
    assert_eq!(made.map(|name| mode(&dir.join(name))), [0o750, 0o755, 0o755, 0o755]);
}

#[test]
fn a_runtime_directory_is_removed_when_its_process_is_down_and_the_others_stay() {
    let mut world = world();
    let words = [
        "sh",
        "-c",
        "mkdir -p $RUNTIME_DIRECTORY/a/b; touch $RUNTIME_DIRECTORY/a/b/c; ln -s /etc $RUNTIME_DIRECTORY/l; \
                  touch $STATE_DIRECTORY/kept; echo up; exec sleep infinity",
    ];
    let mut spec = does("web", &[]).runtime_directory("web").state_directory("web");
    spec.command = words.map(String::from).to_vec();
    let process = world.start(spec);
    await_lines(&process, 1);
    let (run, state) = (world.dir.join("run/web"), world.dir.join("state/web/kept"));
    assert!(run.join("a/b/c").exists());
    done(process.stop()).unwrap();
    wait_until("the runtime directory is gone", || !run.exists());
    assert!(state.exists() && Path::new("/etc/passwd").exists());
    done(process.start()).unwrap();
    await_lines(&process, 2);
    assert!(run.join("a/b/c").exists());
    world.await_state("web", StateName::Running);
}

#[test]
fn a_runtime_directory_is_kept_over_restarts() {
    let world = world();
    let script = "test -e $RUNTIME_DIRECTORY/mark && is=kept || is=new; touch $RUNTIME_DIRECTORY/mark; echo $is; \
                  exec sleep infinity";
    let mut spec = does("web", &[]).runtime_directory("web").restart(at_once());
    spec.command = ["sh", "-c", script].map(String::from).to_vec();
    let process = world.start(spec);
    assert_eq!(await_lines(&process, 1), ["new"]);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid(&process).0 as i32), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    assert_eq!(await_lines(&process, 2)[1], "kept", "after it was killed");
    done(process.restart()).unwrap();
    assert_eq!(await_lines(&process, 3)[2], "kept", "after it was asked to restart");
}

#[test]
fn a_runtime_directory_that_another_process_uses_too_stays_until_that_is_down() {
    let world = world();
    let first = world.start(does("first", &["wait"]).runtime_directory("shared"));
    let second = world.start(does("second", &["wait"]).runtime_directory("shared/second"));
    let third = world.start(does("third", &["wait"]).runtime_directory("third"));
    done(first.stop()).unwrap();
    done(third.stop()).unwrap();
    // In order: what was to be removed of the first is decided by now.
    wait_until("the third's is gone", || !world.dir.join("run/third").exists());
    assert!(world.dir.join("run/shared/second").exists());
    done(second.stop()).unwrap();
    wait_until("the second's is gone", || !world.dir.join("run/shared/second").exists());
}

#[test]
fn runtime_directories_are_gone_when_the_supervisor_has_ended() {
    let world = world();
    world.start(does("web", &["wait"]).runtime_directory("web"));
    let run = world.dir.join("run/web");
    assert!(run.exists());
    done(world.supervisor.shutdown()).unwrap();
    assert!(!run.exists());
}

#[test]
fn a_tree_that_a_process_made_very_deep_is_removed_all_the_same() {
    let world = world();
    // Deeper than any path may be long, and than a thread's stack or descriptors would do for.
    let script = format!(
        "cd $RUNTIME_DIRECTORY; for i in 1 2 3 4 5 6 7 8; do mkdir -p {0}; touch d/file; cd -P {0}; done; echo done",
        "d/".repeat(500)
    );
    let mut spec = does("web", &[]).runtime_directory("web");
    spec.command = ["sh", "-c", &script].map(String::from).to_vec();
    let process = world.start(spec);
    await_lines(&process, 1);
    wait_until("it is gone", || !world.dir.join("run/web").exists());
}

#[test]
fn a_link_in_the_place_of_a_directory_is_a_failed_start_that_says_so() {
    let world = world();
    fs::create_dir_all(world.dir.join("state/web")).unwrap();
    fs::create_dir(world.dir.join("precious")).unwrap();
    fs::set_permissions(world.dir.join("precious"), fs::Permissions::from_mode(0o700)).unwrap();
    for (name, link) in
        [("web/last", "state/web/last"), ("web/middle/last", "state/web/middle"), ("plain", "state/plain")]
    {
        symlink(world.dir.join("precious"), world.dir.join(link)).unwrap();
        let process = world.add(does(&name.replace('/', "-"), &["wait"]).state_directory(name));
        let error = done(process.start()).unwrap_err().to_string();
        assert!(error.contains("is a symbolic link, and none is followed there"), "{error}");
        assert!(error.contains("cannot make the state directory"), "{error}");
    }
    assert_eq!(mode(&world.dir.join("precious")), 0o700);
    assert_eq!(fs::read_dir(world.dir.join("precious")).unwrap().count(), 0);
    fs::write(world.dir.join("state/file"), "").unwrap();
    let process = world.add(does("file", &["wait"]).state_directory("file"));
    let error = done(process.start()).unwrap_err().to_string();
    assert!(error.contains("`file` is no folder"), "{error}");
}

#[test]
fn directories_belong_to_the_processs_user_and_group_and_what_lies_in_them_goes_with_them() {
    if !root_or_skip("directories_belong_to_the_processs_user_and_group_and_what_lies_in_them_goes_with_them") {
        return;
    }
    let world = world();
    let (state, ours) = (world.dir.join("state/web"), world.dir.join("state/web/roots"));
    let process = world.start(
        does("web", &["wait"])
            .user("daemon")
            .group("bin")
            .runtime_directory("web")
            .state_directory(Directory::new("web").mode(0o750))
            .before_start(Hook {
                user: Some("root".into()),
                ..Hook::command(["sh", "-c", "touch $STATE_DIRECTORY/roots"])
            }),
    );
    assert_eq!((owner(&state), owner(&world.dir.join("run/web")), mode(&state)), ((1, 2), (1, 2), 0o750));
    // What a hook of root's put there is root's.
    assert_eq!(owner(&ours), (0, 0));
    fs::create_dir_all(state.join("deep/er")).unwrap();
    for name in ["deep", "deep/er", "file"] {
        let path = state.join(name);
        if !path.exists() {
            fs::write(&path, "").unwrap();
        }
        std::os::unix::fs::chown(&path, Some(1), Some(2)).unwrap();
    }
    let victim = world.dir.join("victim");
    fs::write(&victim, "").unwrap();
    symlink(&victim, state.join("link")).unwrap();
    fs::hard_link(&victim, state.join("hard")).unwrap();
    done(process.stop()).unwrap();
    done(process.delete(false)).unwrap();
    world.start(does("web", &["wait"]).user("games").state_directory(Directory::new("web").mode(0o750)));
    let games = owner(&state);
    assert_ne!(games.0, 1);
    for name in ["deep", "deep/er", "file"] {
        assert_eq!(owner(&state.join(name)), games, "{name}");
    }
    // What was not the former user's own is not given away, be it linked there or not.
    assert_eq!((owner(&ours), owner(&victim)), ((0, 0), (0, 0)));
}

#[test]
fn what_a_user_may_have_moved_to_the_place_of_a_directory_is_not_handed_over() {
    if !root_or_skip("what_a_user_may_have_moved_to_the_place_of_a_directory_is_not_handed_over") {
        return;
    }
    let world = world();
    let below = |name: &str| world.dir.join("state/web").join(name);
    world.start(does("web", &["wait"]).user("daemon").state_directory("web"));
    // Root's own, in a folder of a user who may rename what is in it.
    fs::create_dir(below("roots")).unwrap();
    fs::write(below("roots/secret"), "").unwrap();
    fs::rename(below("roots"), below("cache")).unwrap();
    let process = world.add(does("cache", &["wait"]).user("daemon").state_directory("web/cache"));
    let error = done(process.start()).unwrap_err().to_string();
    assert!(error.contains("it belongs to user 0, and lies in a folder to which others may have moved it"), "{error}");
    assert_eq!((owner(&below("cache")).0, owner(&below("cache/secret")).0), (0, 0));
    fs::remove_dir_all(below("cache")).unwrap();
    done(process.start()).unwrap();
    assert_eq!(owner(&below("cache")).0, 1);
}

#[test]
fn without_a_place_for_it_a_start_fails_and_says_so() {
    let world = World::new();
    let process = world.add(does("web", &["wait"]).logs_directory("web"));
    let error = done(process.start()).unwrap_err().to_string();
    assert!(error.contains("there is no place for logs directories"), "{error}");
}

#[test]
fn a_runtime_directory_outlives_the_supervisor_with_its_process_and_goes_with_it() {
    let kept = Kept::new(&[]);
    let run = |name: &str| kept.dir.join("run").join(name);
    kept.start(&does("lives", &["wait"]).runtime_directory("lives"));
    kept.start(&does("ends", &["wait"]).runtime_directory("ends").restart(Restart::never()));
    let ends = kept.pid("ends");
    assert!(run("lives").is_dir() && run("ends").is_dir());
    kept.kill_and(|| {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(ends.0 as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    });
    kept.await_life(2);
    wait_until("that of the one that ended meanwhile is gone", || !run("ends").exists());
    assert!(run("lives").is_dir());
    kept.stop("lives");
    wait_until("the other is gone when its process is", || !run("lives").exists());
}
