use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::spec::samples::specs;
use crate::spec::{FunctionId, Health, Hook, ProbeTarget, Ready, Restart, Secret, Signal, Stop, StopStep, Stream};

fn base() -> Spec {
    Spec::new("web", ["nginx"]).health(Health::new(ProbeTarget::Exec(vec!["true".into()])))
}

fn changes(new: Spec) -> Vec<(String, Effect)> {
    changed_fields(&base(), &new).into_iter().map(|change| (change.path, change.effect)).collect()
}

#[test]
fn every_key_of_the_contract_is_in_the_table_once() {
    let keys = "description command args shell type remain auto_start critical working_dir env env_file clear_env user \
        group groups umask nice rlimits ambient_capabilities bounding_capabilities no_new_privs requires wants \
         binds_to \
        follows part_of conflicts after before conditions ready health restart success_exit_status stop start_timeout \
        reload hooks limits listen runtime_directory state_directory cache_directory logs_directory pidfile log \
        watchdog volatile watch schedule replicas rolling";
    let listed: Vec<&str> = SPEC.keys().map(|key| key.name).collect();
    assert_eq!(listed, keys.split_whitespace().collect::<Vec<_>>());
    for table in TABLES {
        let names: HashSet<&str> = table.keys().map(|key| key.name).collect();
        assert_eq!(names.len(), table.keys().count(), "{} names a key twice", table.name);
        assert!(table.positional.is_none_or(|key| table.key(key).is_some()), "{}", table.name);
    }
}

#[test]
fn every_key_and_table_is_explained_in_a_sentence() {
    for table in TABLES {
        assert!(table.doc.ends_with('.') || table.doc.ends_with('`'), "{}", table.name);
        for key in table.keys() {
            assert!(key.doc.ends_with('.'), "{}.{}", table.name, key.name);
            assert!(!key.lua.is_empty());
        }
    }
}

#[test]
fn every_type_named_in_the_table_exists() {
    let made_by_the_runtime = ["neap.Process", "neap.Run", "neap.Probe", "neap.Secret", "neap.Listener"];
    let known: HashSet<&str> = TABLES
        .iter()
        .map(|table| table.name)
        .chain(ALIASES.iter().map(|alias| alias.name))
        .chain(made_by_the_runtime)
        .collect();
    let types = TABLES.iter().flat_map(|table| table.keys()).map(|key| key.lua).chain(ALIASES.iter().map(|a| a.lua));
    for lua in types {
        for word in lua.split(|c: char| !c.is_alphanumeric() && c != '.' && c != '_') {
            assert!(!word.starts_with("neap.") || known.contains(word), "{word} in {lua}");
        }
    }
}

#[test]
fn equal_specs_have_no_changes() {
    assert_eq!(changed_fields(&base(), &base()), []);
}

#[test]
fn each_change_is_named_by_its_path_with_its_effect() {
    use Effect::{Live, Restart as Anew};
    let cases: Vec<(Spec, &str, Effect)> = vec![
        (base().arg("-g"), "command", Anew),
        (base().env("A", "1"), "env", Anew),
        (base().secret_env("A", Secret::new("x")), "env", Anew),
        (base().user("app"), "user", Anew),
        (base().umask(0o077), "umask", Anew),
        (base().rlimit("nofile", 1), "rlimits", Anew),
        (base().stdout(Stream::Null), "log.stdout", Anew),
        (base().watchdog(Duration::from_secs(1)), "watchdog", Anew),
        (base().volatile(true), "volatile", Live),
        (base().description("x"), "description", Live),
        (base().requires("db"), "requires", Live),
        (base().critical(true), "critical", Live),
        (base().restart(Restart::always()), "restart.policy", Live),
        (base().restart(Restart::default().limit(3, Duration::from_secs(600))), "restart.limit.burst", Live),
        (base().stop(Stop::signal(Signal::INT, Duration::from_secs(10))), "stop.signal", Live),
        (base().stop(Stop::signal(Signal::TERM, Duration::from_secs(11))), "stop.timeout", Live),
        (base().start_timeout(None), "start_timeout", Live),
        (base().success_exit_status(3), "success_exit_status", Live),
        (base().success_signal(Signal::HUP), "success_exit_status", Live),
        (base().before_start(Hook::command(["true"])), "hooks.before_start", Live),
        (base().ready(Ready::tcp(80)), "ready", Live),
        (base().health(Health::new(ProbeTarget::http("http://127.0.0.1/"))), "health", Live),
        (Spec { health: None, ..base() }, "health", Live),
        (base().reload(crate::spec::Reload::Signal(Signal::HUP)), "reload.signal", Live),
        (base().reload_on_change("v2"), "reload.on_change", Effect::Reload),
        (base().condition_path_exists("/x"), "conditions.path_exists", Live),
    ];
    for (new, path, effect) in cases {
        assert_eq!(changes(new), [(path.to_owned(), effect)]);
    }
    let mut ladder = base();
    ladder.stop.sequence.push(StopStep { signal: Signal::QUIT, wait: Duration::from_secs(1) });
    assert_eq!(changes(ladder), [("stop.sequence".to_owned(), Live)]);
}

#[test]
fn another_function_is_not_a_difference_but_is_brought_over() {
    let with = |id: u64| {
        base()
            .ready(Ready::Probe(crate::spec::Probe {
                target: ProbeTarget::Function(FunctionId(id)),
                interval: None,
                timeout: None,
            }))
            .health(Health::new(ProbeTarget::Function(FunctionId(id + 1))))
            .after_stop(Hook::function(FunctionId(id + 2)))
    };
    assert_eq!(changed_fields(&with(1), &with(10)), []);
    assert_ne!(with(1), with(10));
    assert_eq!(with(1).with_live_fields_of(&with(10)), with(10));
    let slower = with(10).after_stop(Hook::function(FunctionId(1)).timeout(Duration::from_secs(1)));
    assert_eq!(changed_fields(&with(1), &slower).len(), 1);
}

#[test]
fn a_run_keeps_what_it_was_executed_with_and_takes_the_rest() {
    let newer = Spec::new("web", ["caddy"])
        .env("A", "1")
        .user("app")
        .restart(Restart::never())
        .requires("db")
        .start_timeout(Duration::from_secs(5));
    let run = base().with_live_fields_of(&newer);
    assert_eq!(run.command, ["nginx"]);
    assert!(run.env.is_empty() && run.user.is_none());
    assert_eq!(
        (&run.restart, &run.requires, run.start_timeout),
        (&newer.restart, &newer.requires, newer.start_timeout)
    );
    assert_eq!(run.health, None);
    let left: Vec<String> = changed_fields(&run, &newer).into_iter().map(|change| change.path).collect();
    assert_eq!(left, ["command", "env", "user"]);
}

proptest! {
    #[test]
    fn no_field_of_a_spec_is_forgotten(old in specs(), new in specs()) {
        let mut all_of_new = old.clone();
        visit(&SPEC, None, &mut |_, _, access| (access.copy)(&mut all_of_new, &new));
        prop_assert_eq!(&all_of_new, &new);
        prop_assert_eq!(changed_fields(&all_of_new, &new), []);
        let updated = old.with_live_fields_of(&new);
        let left = changed_fields(&updated, &new);
        prop_assert!(left.iter().all(|change| change.effect != Effect::Live));
        let anew: Vec<_> = changed_fields(&old, &new).into_iter().filter(|c| c.effect != Effect::Live).collect();
        prop_assert_eq!(left, anew);
    }
}
