//! Create, Update and Delete.

use neap::rpc::error_detail;
use neap::rpc::proto::v1;
use neap::spec::{Health, ProbeTarget, Restart, Spec, Stop, StopStep, Stream};
use std::time::Duration;
use tonic::{Code, Status};

use crate::world::{World, names, sleeper, state, word};

fn typed(spec: v1::Spec) -> v1::CreateRequest {
    v1::CreateRequest { definition: Some(v1::create_request::Definition::Spec(spec)), dry_run: false }
}

fn json(text: &str) -> v1::CreateRequest {
    v1::CreateRequest { definition: Some(v1::create_request::Definition::Json(text.into())), dry_run: false }
}

fn change(name: &str, text: &str) -> v1::UpdateRequest {
    v1::UpdateRequest {
        name: name.into(),
        changes: Some(v1::update_request::Changes::Json(text.into())),
        ..Default::default()
    }
}

impl World {
    fn create(&self, request: v1::CreateRequest) -> Result<v1::CreateResponse, Status> {
        self.run(async { self.neap().await.create(request).await }).map(tonic::Response::into_inner)
    }

    fn update(&self, request: v1::UpdateRequest) -> Result<v1::UpdateResponse, Status> {
        self.run(async { self.neap().await.update(request).await }).map(tonic::Response::into_inner)
    }

    fn delete(&self, wanted: &[&str], force: bool) -> Result<v1::DeleteResponse, Status> {
        let request = v1::DeleteRequest { names: names(wanted), force, timeout: None };
        self.run(async { self.neap().await.delete(request).await }).map(tonic::Response::into_inner)
    }

    fn spec(&self, name: &str) -> Spec {
        Spec::clone(&self.supervisor.get(name).expect("it is there").spec().unwrap())
    }
}

#[test]
fn a_process_made_from_a_message_or_from_json_has_the_defaults_of_this_door() {
    let world = World::new();
    let command = names(&["sleep", "1000"]);
    let made = world.create(typed(v1::Spec { name: "typed".into(), command, ..Default::default() })).unwrap();
    let made = made.process.unwrap();
    assert_eq!((made.name.as_str(), made.state, made.runtime), ("typed", v1::State::Created.into(), true));
    assert!(!made.id.is_empty());
    world.create(json(r#"{"name": "json", "command": ["sleep", "1000"]}"#)).unwrap();
    let spec = world.spec("typed");
    assert_eq!(Spec { name: "json".into(), ..spec.clone() }, world.spec("json"));
    assert!(!spec.auto_start);
    assert_eq!(spec.restart, Restart::never().jitter(0.0).limit(5, Duration::from_secs(300)));
    assert_eq!(spec.stop, Stop::signal(neap::spec::Signal::TERM, Duration::from_secs(90)));
    assert_eq!((spec.start_timeout, spec.working_dir.as_deref()), (None, Some("/")));
    assert_eq!((&spec.log.stdout, &spec.log.stderr), (&Stream::Inherit, &Stream::Inherit));
}

#[test]
fn one_that_says_auto_start_is_started() {
    let world = World::new();
    world.create(json(r#"{"name": "web", "command": ["sleep", "1000"], "auto_start": true}"#)).unwrap();
    let web = world.supervisor.get("web").unwrap();
    web.wait(neap::core::StateName::Running).wait().unwrap();
}

#[test]
fn a_command_in_text_is_a_program_and_other_commands_are_lines() {
    let world = World::new();
    let text = r#"{"name": "web", "command": "/opt/my app/run", "hooks": {"before_start": "mkdir -p '/a b'"}}"#;
    world.create(json(text)).unwrap();
    let spec = world.spec("web");
    assert_eq!(spec.command, ["/opt/my app/run"]);
    let neap::spec::HookAction::Command(hook) = &spec.hooks.before_start[0].action else { panic!("a command") };
    assert_eq!(hook.as_slice(), ["mkdir", "-p", "/a b"]);
    world.create(json(r#"{"name": "api", "command": "my run", "args": ["x y", 3]}"#)).unwrap();
    assert_eq!(world.spec("api").command, ["my run", "x y", "3"]);
}

#[test]
fn what_is_wrong_with_a_definition_names_its_fields_and_makes_nothing() {
    let world = World::new();
    let refused = world
        .create(json(r#"{"name": "web", "comand": "x", "restart": {"delay": "5 parsecs"}, "limits": {"cpu": 500}}"#))
        .unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::InvalidArgument, "invalid".to_owned()));
    let problems = error_detail(&refused).unwrap().problems;
    let fields: Vec<&str> = problems.iter().filter_map(|problem| problem.field.as_deref()).collect();
    assert_eq!(fields, ["comand", "limits.cpu", "restart.delay"]);
    assert!(refused.message().contains("did you mean `command`?"), "{}", refused.message());
    for (request, words) in [
        (json("{"), "json: is not JSON"),
        (json("[]"), "json: is not an object"),
        (json(r#"{"command": ["x"]}"#), "name: is missing"),
        (json(r#"{"name": "a b", "command": ["x"]}"#), "a b"),
        (json(r#"{"name": "a", "command": ["x"], "requires": "nobody"}"#), "requires"),
        (json(r#"{"name": "a", "command": ["x"], "env": {"T": "***"}}"#), "give the secret itself"),
        (json(r#"{"name": "a", "command": ["x"], "schedule": "daily"}"#), "waits for schedules"),
        (typed(v1::Spec { name: "a".into(), ..Default::default() }), "needs a `command`"),
        (v1::CreateRequest::default(), "spec: is missing"),
    ] {
        let refused = world.create(request).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains(words), "{}", refused.message());
    }
    assert_eq!(world.supervisor.list().unwrap(), []);
}

#[test]
fn a_name_that_is_taken_exists_already() {
    let world = World::new();
    world.add(sleeper("web"));
    let refused = world.create(json(r#"{"name": "web", "command": ["x"]}"#)).unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::AlreadyExists, "exists".to_owned()));
    assert_eq!(error_detail(&refused).unwrap().process.as_deref(), Some("web"));
}

#[test]
fn a_dry_run_says_what_is_wrong_or_odd_and_makes_nothing() {
    let world = World::new();
    let dry = |text: &str| v1::CreateRequest { dry_run: true, ..json(text) };
    let told = world.create(dry(r#"{"name": "web", "command": ["x"], "after": "nobody"}"#)).unwrap();
    assert_eq!((told.process, told.warnings.len()), (None, 1));
    assert!(told.warnings[0].warning && told.warnings[0].message.contains("nobody"), "{:?}", told.warnings);
    let refused = world.create(dry(r#"{"name": "web", "command": ["x"], "requires": "nobody"}"#)).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(world.supervisor.list().unwrap(), []);
}

#[test]
fn what_was_odd_before_is_not_said_again() {
    let world = World::new();
    let text = r#"{"name": "web", "command": ["x"], "after": "nobody", "limits": {"memory": "1MiB"}}"#;
    let made = world.create(json(text)).unwrap();
    assert_eq!(made.warnings.len(), 1, "{:?}", made.warnings);
    assert_eq!(world.spec("web").limits.memory, Some(1 << 20));
    let again = world.update(change("web", r#"{"description": "web"}"#)).unwrap();
    assert_eq!(again.warnings, [], "what was odd before is not said again");
}

#[test]
fn a_secret_is_shown_nowhere_and_stays_one() {
    let world = World::new();
    let text = r#"{"name": "web", "command": ["x"], "env": {"TOKEN": "s3cret", "A": "1"}, "secret_env": ["TOKEN"]}"#;
    world.create(json(text)).unwrap();
    assert_eq!(world.spec("web").secret_env["TOKEN"].expose(), "s3cret");
    assert_eq!(world.spec("web").env.len(), 1);
    // What a client was shown and sends back changes nothing.
    let same = world.update(change("web", r#"{"env": {"TOKEN": "***", "A": "1"}}"#)).unwrap();
    assert_eq!(same.change.unwrap().action, "unchanged");
    let other = world.update(change("web", r#"{"env": {"TOKEN": "n3w"}}"#)).unwrap();
    assert!(!format!("{other:?}").contains("n3w"));
    assert_eq!(world.spec("web").secret_env["TOKEN"].expose(), "n3w");
    world.update(change("web", r#"{"secret_env": ["A"]}"#)).unwrap();
    assert_eq!(world.spec("web").secret_env["A"].expose(), "1");
    let refused = world.update(change("web", r#"{"secret_env": ["B"]}"#)).unwrap_err();
    assert!(refused.message().contains("there is no variable `B`"), "{}", refused.message());
    let shown = world.run(async {
        let request = v1::DescribeRequest { names: names(&["web"]) };
        world.neap().await.describe(request).await.unwrap().into_inner()
    });
    assert!(!format!("{shown:?}").contains("n3w"));
}

#[test]
fn policy_limits_and_health_change_without_a_new_pid() {
    let world = World::new();
    let text = r#"{"name": "web", "command": ["sleep", "1000"], "auto_start": true, "limits": {"pids": 10},
        "health": {"type": "exec", "command": ["true"], "interval": "5s"}, "stop": {"timeout": "3s"}}"#;
    world.create(json(text)).unwrap();
    let web = world.supervisor.get("web").unwrap();
    let pid = web.wait(neap::core::StateName::Running).wait().unwrap().pid;
    let text = r#"{"restart": "on-failure", "limits": {"pids": 20, "memory": "64MiB"}, "stop": {"signal": "INT"},
        "health": {"interval": "7s"}}"#;
    let told = world.update(v1::UpdateRequest { restart_process: true, ..change("web", text) }).unwrap();
    let made = told.change.unwrap();
    assert!(made.fields.iter().all(|field| field.effect == "live"), "{made:?}");
    assert_eq!((made.action.as_str(), told.restarted), ("updated", false));
    assert_eq!(web.status().unwrap().pid, pid);
    let spec = world.spec("web");
    assert_eq!(spec.restart.policy, neap::spec::RestartPolicy::OnFailure);
    assert_eq!(spec.restart.limit.burst, 5, "what was not named stays as it was");
    assert_eq!((spec.limits.pids, spec.limits.memory), (Some(20), Some(64 << 20)));
    let Health { target: ProbeTarget::Exec(command), interval, .. } = spec.health.unwrap() else { panic!() };
    assert_eq!((command, interval), (names(&["true"]), Duration::from_secs(7)));
    let step = StopStep { signal: neap::spec::Signal::INT, wait: Duration::from_secs(3) };
    assert_eq!(spec.stop.sequence, [step]);
}

#[test]
fn env_and_user_wait_for_a_restart_which_is_made_when_it_is_asked_for() {
    let world = World::new();
    world
        .create(json(r#"{"name": "web", "command": ["sleep", "1000"], "auto_start": true, "env": {"A": "1"}}"#))
        .unwrap();
    let web = world.supervisor.get("web").unwrap();
    let pid = web.wait(neap::core::StateName::Running).wait().unwrap().pid;
    let told = world.update(change("web", r#"{"env": {"B": "2"}}"#)).unwrap();
    let made = told.change.unwrap();
    assert_eq!((made.action.as_str(), made.fields[0].effect.as_str(), told.restarted), ("updated", "restart", false));
    assert_eq!(web.status().unwrap().pid, pid);
    let request = v1::UpdateRequest { restart_process: true, dry_run: true, ..change("web", r#"{"env": {"B": "3"}}"#) };
    let told = world.update(request.clone()).unwrap();
    assert_eq!((told.change.unwrap().action.as_str(), told.restarted), ("restarted", false));
    assert_eq!((web.status().unwrap().pid, world.spec("web").env["B"].as_str()), (pid, "2"), "that was a dry run");
    let told = world.update(v1::UpdateRequest { dry_run: false, ..request }).unwrap();
    let now = told.process.unwrap();
    assert!(told.restarted);
    assert_eq!(
        (state(now.state), now.pid.is_some(), now.pid == pid.map(|pid| pid.0)),
        (v1::State::Running, true, false)
    );
    assert_eq!(world.spec("web").env.len(), 2, "maps merge");
}

#[test]
fn a_restart_that_fails_says_that_the_change_was_made() {
    let world = World::new();
    world.create(json(r#"{"name": "web", "command": ["sleep", "1000"], "auto_start": true}"#)).unwrap();
    world.supervisor.get("web").unwrap().wait(neap::core::StateName::Running).wait().unwrap();
    let request = v1::UpdateRequest { restart_process: true, ..change("web", r#"{"command": ["/nonexistent/x"]}"#) };
    let refused = world.update(request).unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::Aborted, "start_failed".to_owned()));
    assert!(refused.message().starts_with("`web` is changed, and its restart failed: "), "{}", refused.message());
    assert_eq!(world.spec("web").command, ["/nonexistent/x"]);
}

#[test]
fn keys_go_back_to_their_defaults() {
    let world = World::new();
    let text = r#"{"name": "web", "command": ["x"], "env": {"A.B": "1", "C": "2"}, "user": "nobody",
        "health": {"url": "http://127.0.0.1:1/", "interval": "3s"}, "restart": {"policy": "always", "delay": "9s"}}"#;
    world.create(json(text)).unwrap();
    let mut request = change("web", r#"{"user": null, "restart": {"delay": null}}"#);
    request.unset = names(&["env.A.B", "health.interval"]);
    world.update(request).unwrap();
    let spec = world.spec("web");
    assert_eq!((spec.user, spec.env.keys().collect::<Vec<_>>()), (None, vec![&"C".to_owned()]));
    assert_eq!(spec.health.unwrap().interval, Duration::from_secs(30), "the default of what is made at run time");
    assert_eq!((spec.restart.delay, spec.restart.policy), (Duration::from_secs(1), neap::spec::RestartPolicy::Always));
    world.update(v1::UpdateRequest { unset: names(&["health", "env", "restart"]), ..change("web", "{}") }).unwrap();
    let spec = world.spec("web");
    assert_eq!((spec.health, spec.env.len(), spec.restart.policy), (None, 0, neap::spec::RestartPolicy::Never));
    for (paths, words) in [
        (vec!["helth"], "did you mean `health`?"),
        (vec!["restart.dealy"], "restart.dealy"),
        (vec!["restart..delay"], "is no path"),
        (vec!["command"], "needs a `command`"),
    ] {
        let request = v1::UpdateRequest { unset: names(&paths), ..change("web", "{}") };
        let refused = world.update(request).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(words), "{}", refused.message());
    }
    let both = v1::UpdateRequest { unset: names(&["user"]), ..change("web", r#"{"user": "root"}"#) };
    assert!(world.update(both).unwrap_err().message().contains("given a value in the same request"));
}

#[test]
fn what_stands_for_the_same_thing_takes_its_place() {
    let world = World::new();
    let text = r#"{"name": "web", "command": ["nginx", "-c", "x"], "reload": {"signal": "HUP"}, "ready": "health",
        "health": {"url": "http://127.0.0.1:1/", "interval": "3s"}, "restart": {"delay": "50s"}}"#;
    world.create(json(text)).unwrap();
    world.update(change("web", r#"{"args": ["-v"]}"#)).unwrap();
    assert_eq!(world.spec("web").command, ["nginx", "-v"]);
    world.update(change("web", r#"{"shell": "exec nginx"}"#)).unwrap();
    assert_eq!(world.spec("web").command, ["/bin/sh", "-c", "exec nginx"]);
    world.update(change("web", r#"{"reload": {"command": ["nginx", "-s", "reload"]}}"#)).unwrap();
    world.update(change("web", r#"{"health": {"type": "tcp", "port": 80}}"#)).unwrap();
    let health = world.spec("web").health.unwrap();
    assert_eq!(health.target, ProbeTarget::Tcp { host: "127.0.0.1".into(), port: 80 });
    assert_eq!(health.interval, Duration::from_secs(3), "the pace stays");
    world.update(change("web", r#"{"restart": {"delay": "2m"}}"#)).unwrap();
    assert_eq!(world.spec("web").restart.max_delay, Duration::from_secs(120), "a ceiling that nobody gave rises");
    world.update(change("web", r#"{"stop": {"sequence": [["INT", "1s"], ["TERM", "2s"]]}}"#)).unwrap();
    let refused = world.update(change("web", r#"{"stop": {"timeout": "5s"}}"#)).unwrap_err();
    assert!(refused.message().contains("each step has its signal and its wait"), "{}", refused.message());
    world.update(change("web", r#"{"stop": {"sequence": null, "timeout": "5s"}}"#)).unwrap();
    assert_eq!(world.spec("web").stop.sequence.len(), 1);
}

#[test]
fn a_message_changes_what_is_present_of_it() {
    let world = World::new();
    world.create(json(r#"{"name": "web", "command": ["x"], "env": {"A": "1"}, "after": ["a", "b"]}"#)).unwrap();
    let spec = v1::Spec {
        env: [("B".to_owned(), "2".to_owned())].into(),
        after: names(&["c"]),
        start_timeout: Some(1_500),
        limits: Some(v1::Limits { cpu: Some(128.0), ..Default::default() }),
        ..Default::default()
    };
    let changes = Some(v1::update_request::Changes::Spec(spec));
    let told = world.update(v1::UpdateRequest { name: "web".into(), changes, ..Default::default() }).unwrap();
    let spec = world.spec("web");
    assert_eq!((spec.env.len(), spec.after), (2, names(&["c"])), "maps merge, lists replace");
    assert_eq!(spec.start_timeout, Some(Duration::from_millis(1_500)));
    assert_eq!(spec.limits.cpu_millis, Some(128_000));
    assert!(told.change.unwrap().fields.len() >= 4);
}

#[test]
fn a_functions_number_from_outside_is_refused() {
    let world = World::new();
    let hook = v1::Hook { r#fn: Some(7), ..Default::default() };
    let hooks = Some(v1::Hooks { before_start: vec![hook], ..Default::default() });
    let spec = v1::Spec { name: "web".into(), command: names(&["x"]), hooks, ..Default::default() };
    let refused = world.create(typed(spec)).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("functions come from a configuration"), "{}", refused.message());
}

#[test]
fn an_update_names_its_process_and_keeps_its_name() {
    let world = World::new();
    world.create(json(r#"{"name": "web", "command": ["x"]}"#)).unwrap();
    let refused = world.update(change("wbe", "{}")).unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "there is no process `wbe`; did you mean `web`?"));
    let refused = world.update(change("web", r#"{"name": "api"}"#)).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("keeps its name"), "{}", refused.message());
    assert_eq!(world.update(change("", "{}")).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn what_is_deleted_is_gone_and_what_runs_needs_force() {
    let world = World::new();
    for name in ["a1", "a2", "b"] {
        world.create(json(&format!(r#"{{"name": "{name}", "command": ["sleep", "1000"]}}"#))).unwrap();
    }
    world.supervisor.get("b").unwrap().start_blocking().unwrap();
    let gone = world.delete(&["a*"], false).unwrap().outcomes;
    let told: Vec<(&str, bool, i32)> = gone.iter().map(|one| (one.name.as_str(), one.changed, one.state)).collect();
    assert_eq!(told, [("a1", true, 0), ("a2", true, 0)]);
    let refused = world.delete(&["b"], false).unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::FailedPrecondition, "state".to_owned()));
    assert!(refused.message().contains("stop it first, or use force"), "{}", refused.message());
    world.delete(&["b"], true).unwrap();
    assert_eq!(world.supervisor.list().unwrap(), []);
    assert_eq!(world.delete(&["b"], true).unwrap_err().code(), Code::NotFound);
    assert_eq!(world.delete(&[], true).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn what_others_require_is_deleted_with_them_or_not_at_all() {
    let world = World::new();
    world.create(json(r#"{"name": "db", "command": ["x"]}"#)).unwrap();
    world.create(json(r#"{"name": "api", "command": ["x"], "requires": "db", "after": "db"}"#)).unwrap();
    let refused = world.delete(&["db"], true).unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::FailedPrecondition, "refused".to_owned()));
    assert_eq!(refused.message(), "`api` requires `db`: delete `api` too, or update it to do without");
    world.delete(&["db", "api"], false).unwrap();
    assert_eq!(world.supervisor.list().unwrap(), []);
}

#[test]
fn one_of_the_configuration_is_not_deleted_and_an_update_of_it_is_an_override() {
    let world = World::new();
    let mut plan = neap::spec::Plan::new();
    plan.insert(sleeper("web").restart(Restart::always())).unwrap();
    world.supervisor.apply(plan).wait().unwrap();
    let refused = world.delete(&["web"], true).unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::FailedPrecondition, "state".to_owned()));
    assert!(refused.message().contains("take it out there and apply"), "{}", refused.message());
    let told = world.update(v1::UpdateRequest { unset: names(&["restart"]), ..change("web", "{}") }).unwrap();
    assert!(told.process.unwrap().overridden && told.change.unwrap().overridden);
    assert_eq!(world.spec("web").restart, Restart::default(), "the defaults of a configuration");
}

#[test]
fn a_mistake_in_json_is_told_without_the_words_of_lua() {
    let world = World::new();
    let text = r#"{"name": "web", "command": ["sleep"], "health": 5, "ready": {"typ": "tcp"}, "listen": 5}"#;
    let refused = world.create(json(text)).unwrap_err();
    let problems = error_detail(&refused).unwrap().problems;
    let told: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|message| !message.contains("neap.")), "{told:?}");
    assert!(told.iter().any(|message| message.contains("a table whose `type` is http, tcp or exec")), "{told:?}");
}
