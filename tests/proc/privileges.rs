//! What a process may do is what its spec says: real processes read themselves back.

use std::collections::BTreeMap;

use neap::Process;
use neap::core::{Event, EventKind, StateName};
use neap::driver::caps;
use neap::driver::spawn::Ids;
use neap::spec::{Hook, Probe, ProbeTarget, Ready, Reload, Spec};

use crate::run::{actor_launch, both_ways, run};
use crate::support::{Epilogue, actor, root_or_skip};
use crate::world::{World, does, done, lines};

/// A user and groups that every Debian has, with other numbers than root's.
const USER: (&str, &str) = ("daemon", "1");
const GROUP: (&str, &str) = ("games", "60");
const GROUPS: [(&str, &str); 2] = [("mail", "8"), ("news", "9")];

/// What it said of itself, as `key=value` lines.
fn said(lines: &[String]) -> BTreeMap<String, String> {
    lines.iter().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect()
}

fn state_of(world: &mut World, process: &Process) -> BTreeMap<String, String> {
    world.await_state(process.name(), StateName::Exited);
    said(&lines(process))
}

/// Everything at once.
fn with_all(spec: Spec) -> Spec {
    let mut spec = spec
        .user(USER.0)
        .group(GROUP.0)
        .groups(GROUPS.map(|group| group.0))
        .umask(0o027)
        .nice(7)
        .rlimit("nofile", 256)
        .rlimit("core", 0)
        .ambient_capability("net_bind_service")
        .bounding_capabilities(["net_bind_service", "chown"])
        .no_new_privs(true);
    spec.limits.oom_score_adj = Some(321);
    spec
}

/// Whether all of it is so.
#[track_caller]
fn has_all(state: &BTreeMap<String, String>) {
    let (user, group) = (USER.1, GROUP.1);
    let bind = format!("{:016x}", caps::bit("net_bind_service").unwrap());
    let both = format!("{:016x}", caps::bits(&["net_bind_service", "chown"]).unwrap());
    let expected = [
        ("Uid", format!("{user} {user} {user} {user}")),
        ("Gid", format!("{group} {group} {group} {group}")),
        ("Groups", GROUPS.map(|group| group.1).join(" ")),
        ("Umask", "0027".into()),
        ("nice", "7".into()),
        ("oom_score_adj", "321".into()),
        ("limit.max_open_files", "256:256".into()),
        ("limit.max_core_file_size", "0:0".into()),
        ("CapInh", bind.clone()),
        ("CapPrm", bind.clone()),
        ("CapEff", bind.clone()),
        ("CapAmb", bind),
        ("CapBnd", both),
        ("NoNewPrivs", "1".into()),
    ];
    for (key, value) in expected {
        assert_eq!(state.get(key), Some(&value), "{key} in {state:#?}");
    }
}

#[test]
fn a_process_has_the_rights_that_its_spec_gives_and_no_others() {
    if !root_or_skip("a_process_has_the_rights_that_its_spec_gives_and_no_others") {
        return;
    }
    let mut world = World::new();
    let process = world.start(with_all(does("web", &["state"])));
    let state = state_of(&mut world, &process);
    has_all(&state);
    // A user alone: its own groups, no capability, and the usual mask.
    let process = world.start(does("plain", &["state"]).user(USER.0));
    let state = state_of(&mut world, &process);
    for (key, value) in [
        ("Uid", "1 1 1 1"),
        ("Gid", "1 1 1 1"),
        ("Groups", "1"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("Umask", "0022"),
        ("NoNewPrivs", "0"),
    ] {
        assert_eq!(state[key], value, "{key}");
    }
    // No groups at all is an answer, too; and so is no capability for root.
    let process = world.start(does("alone", &["state"]).user(USER.0).groups([""; 0]));
    assert_eq!(state_of(&mut world, &process)["Groups"], "");
    let process = world.start(does("bare", &["state"]).bounding_capabilities([""; 0]));
    let state = state_of(&mut world, &process);
    for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(state[set], "0000000000000000", "{set}");
    }
}

#[test]
fn hooks_probes_and_commands_have_the_rights_of_their_process() {
    if !root_or_skip("hooks_probes_and_commands_have_the_rights_of_their_process") {
        return;
    }
    let mut world = World::new();
    let folder = world.dir.join("said");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let says = |file: &str| -> Vec<String> {
        let file = folder.join(file);
        [actor().to_str().unwrap(), "out", file.to_str().unwrap(), "state"].map(str::to_owned).into()
    };
    let probe = Probe { target: ProbeTarget::Exec(says("probe")), interval: None, timeout: None };
    let mut spec = with_all(does("web", &["wait"])).before_start(Hook::command(says("before")));
    spec.hooks.after_stop.push(Hook::command(says("after")));
    spec.hooks.before_stop.push(Hook { user: Some(GROUPS[0].0.into()), ..Hook::command(says("other")) });
    spec.ready = Ready::Probe(probe);
    spec.reload = Some(Reload::Command(says("reload")));
    spec.stop.command = Some(says("stop"));
    let process = world.start(spec);
    world.await_state("web", StateName::Running);
    done(process.reload()).unwrap();
    done(process.stop()).unwrap();
    let read = |file: &str| {
        let text = std::fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        said(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    };
    for file in ["before", "probe", "reload", "stop", "after"] {
        has_all(&read(file));
    }
    // A hook with a user of its own is that user, in that user's groups alone.
    let other = read("other");
    assert_eq!((other["Uid"].as_str(), other["Gid"].as_str(), other["Groups"].as_str()), ("8 8 8 8", "8 8 8 8", "8"));
    assert_eq!(other["NoNewPrivs"], "1");
}

#[test]
fn a_right_that_cannot_be_given_means_that_nothing_is_executed_and_says_which() {
    if !root_or_skip("a_right_that_cannot_be_given_means_that_nothing_is_executed_and_says_which") {
        return;
    }
    let mut world = World::new();
    let witness = world.dir.join("executed");
    let spec = |name: &str| does(name, &["touch", witness.to_str().unwrap()]);
    let most: u64 = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap().trim().parse().unwrap();
    let cases = [
        (spec("user").user("nobody-here"), "user `nobody-here` does not exist"),
        (spec("group").group("nobody-here"), "group `nobody-here` does not exist"),
        (spec("groups").groups(["mail", "nobody-here"]), "group `nobody-here` does not exist"),
        (spec("number").user("3999999999"), "user 3999999999 has no entry in the user database"),
        // Even root may not: the kernel has its own highest number.
        (spec("rlimit").rlimit("nofile", most + 1), "cannot set resource limit `nofile`"),
        (
            spec("hook").before_start(Hook { user: Some("nobody-here".into()), ..Hook::command(["true"]) }),
            "nobody-here",
        ),
    ];
    for (spec, why) in cases {
        let name = spec.name.clone();
        let process = world.add(spec);
        assert!(done(process.start()).is_err(), "{name}");
        let reason = world.await_event("its failure", |event: &Event| match &event.kind {
            EventKind::State { to: StateName::Failed, reason, .. } if event.name.as_deref() == Some(&name) => {
                Some(reason.clone())
            }
            _ => None,
        });
        assert!(reason.contains(why), "{name}: {reason}");
        assert!(!witness.exists(), "{name}");
    }
}

#[test]
fn capabilities_that_the_supervisor_was_started_with_are_not_passed_on() {
    if !root_or_skip("capabilities_that_the_supervisor_was_started_with_are_not_passed_on") {
        return;
    }
    let _epilogue = Epilogue::new();
    for launcher in both_ways() {
        // As systemd's AmbientCapabilities= does it, and a container's runtime.
        let mut launch = actor_launch(&["state", "supervise", "{", "state", "}"]);
        launch.ids = Some(Ids { uid: 54_321, gid: 54_321, groups: vec![], label: "somebody".into() });
        launch.ambient = caps::bit("net_bind_service").unwrap();
        let (_, text) = run(&launcher, launch).unwrap();
        let values = |set: &str| -> Vec<String> {
            text.lines().filter_map(|line| line.strip_prefix(set)?.strip_prefix('=')).map(str::to_owned).collect()
        };
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(values(set), ["0000000000000400", "0000000000000000"], "{set}: {text}");
        }
    }
}
