//! Each call of neap.v1, as it should go.

use neap::core::StateName;
use neap::rpc::proto::v1;
use neap::spec::{Restart, Secret, Spec};

use crate::support::wait_until;
use crate::world::{World, names, sleeper, state};

#[test]
fn status_says_who_the_instance_is_and_counts_its_processes() {
    let world = World::new();
    world.start("web");
    world.add(sleeper("idle"));
    world.add(Spec::shell("bad", "exit 3").oneshot().restart(Restart::never())).start_blocking().unwrap_err();
    let status =
        world.run(async { world.neap().await.get_status(v1::GetStatusRequest {}).await }).unwrap().into_inner();
    assert_eq!((status.version.as_str(), status.instance.as_str(), status.ready), ("1.2.3", "test", true));
    assert_eq!(status.pid, std::process::id());
    assert_eq!(status.role, "admin");
    assert_eq!((status.total_processes, status.running_processes, status.failed_processes), (3, 1, 1));
    let states = status.states.unwrap();
    assert_eq!((states.created, states.running, states.failed, states.crashed), (1, 1, 1, 0));
    assert_eq!(status.promises[0].why, "no anchor");
    assert!(status.uptime_seconds > 0 && status.sequence > 0);
}

#[test]
fn a_list_has_all_by_name_or_those_that_are_meant() {
    let world = World::new();
    world.start("web-1");
    world.add(sleeper("web-2"));
    world.add(sleeper("db"));
    let listed = |wanted: &[&str]| {
        let names = names(wanted);
        let answer = world.run(async { world.neap().await.list(v1::ListRequest { names }).await });
        answer.unwrap().into_inner().processes
    };
    let all = listed(&[]);
    let told: Vec<&str> = all.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(told, ["db", "web-1", "web-2"]);
    assert_eq!(listed(&["web-*", "web-2", "db"]).len(), 3, "each once");
    let web = &listed(&["web-?"])[0];
    assert_eq!((state(web.state), web.run_count), (v1::State::Running, 1));
    assert_eq!(web.pid, world.supervisor.get("web-1").unwrap().status().unwrap().pid.map(|pid| pid.0));
    assert_eq!((web.exit_code, web.signal.as_deref(), web.ended_at), (None, None, None));
    assert!(web.started_at.unwrap().seconds > 1_700_000_000);
    assert_eq!(web.command, ["sleep", "1000"]);
    // An id is a name, too.
    assert_eq!(listed(&[&web.id])[0].name, "web-1");
}

#[test]
fn a_description_has_the_spec_without_its_secrets_and_who_relates_to_it() {
    let world = World::new();
    let mut spec = sleeper("db").restart(Restart::always().delay(std::time::Duration::from_millis(1_500)));
    spec.env.insert("SHOWN".into(), "yes".into());
    spec.secret_env.insert("HIDDEN".into(), Secret::new("hunter2"));
    spec.source.file = Some("neap.lua".into());
    spec.source.line = Some(7);
    world.add(spec);
    world.add(sleeper("web").requires("db"));
    let request = v1::DescribeRequest { names: names(&["db"]) };
    let answer = world.run(async { world.neap().await.describe(request).await }).unwrap().into_inner();
    assert!(!format!("{answer:?}").contains("hunter2"));
    let detail = &answer.processes[0];
    let spec = detail.spec.as_ref().unwrap();
    assert_eq!((detail.file.as_deref(), detail.line), (Some("neap.lua"), Some(7)));
    assert_eq!(detail.required_by, ["web"]);
    assert_eq!((spec.env["SHOWN"].as_str(), spec.env["HIDDEN"].as_str()), ("yes", "***"));
    assert_eq!(spec.secret_env, ["HIDDEN"]);
    let restart = spec.restart.as_ref().unwrap();
    assert_eq!((restart.policy.as_deref(), restart.delay), (Some("always"), Some(1_500)));
    assert_eq!(spec.start_timeout, Some(90_000));
}

#[test]
fn a_start_is_answered_when_it_is_ready_and_says_who_came_along() {
    let world = World::new();
    world.add(sleeper("db"));
    world.add(sleeper("web").requires("db"));
    let request = v1::StartRequest { names: names(&["web"]), ..Default::default() };
    let answer = world.run(async { world.neap().await.start(request.clone()).await }).unwrap().into_inner();
    let web = &answer.outcomes[0];
    assert_eq!(
        (state(web.state), web.changed, web.along.as_slice()),
        (v1::State::Running, true, ["db".to_owned()].as_slice())
    );
    assert!(web.pid.is_some() && web.error.is_none());
    let again = world.run(async { world.neap().await.start(request).await }).unwrap().into_inner();
    assert!(!again.outcomes[0].changed, "it ran already");
    assert_eq!(again.outcomes[0].pid, web.pid);
}

#[test]
fn a_stop_says_whom_it_took_down_and_a_restart_brings_them_back() {
    let world = World::new();
    world.start("db");
    world.add(sleeper("web").requires("db")).start_blocking().unwrap();
    let request = v1::RestartRequest { names: names(&["db"]), ..Default::default() };
    let answer = world.run(async { world.neap().await.restart(request).await }).unwrap().into_inner();
    assert_eq!((state(answer.outcomes[0].state), &answer.outcomes[0].along), (v1::State::Running, &names(&["web"])));
    wait_until("web is back", || world.supervisor.get("web").unwrap().status().unwrap().run_count == 2);
    let request = v1::StopRequest { names: names(&["db"]), ..Default::default() };
    let answer = world.run(async { world.neap().await.stop(request).await }).unwrap().into_inner();
    assert_eq!((state(answer.outcomes[0].state), &answer.outcomes[0].along), (v1::State::Stopped, &names(&["web"])));
    assert_eq!(world.supervisor.get("web").unwrap().status().unwrap().state, StateName::Stopped);
}

#[test]
fn several_are_acted_on_at_once_and_each_has_its_outcome() {
    let world = World::new();
    world.add(sleeper("good"));
    world.add(Spec::shell("bad", "exit 3").oneshot().restart(Restart::never()));
    let request = v1::StartRequest { names: names(&["*"]), ..Default::default() };
    let outcomes = world.run(async { world.neap().await.start(request).await }).unwrap().into_inner().outcomes;
    assert_eq!((outcomes[0].name.as_str(), state(outcomes[0].state)), ("bad", v1::State::Failed));
    let error = outcomes[0].error.as_ref().unwrap();
    assert_eq!(
        (error.code, error.detail.as_ref().unwrap().code.as_str()),
        (tonic::Code::Aborted as i32, "start_failed")
    );
    assert_eq!((state(outcomes[1].state), &outcomes[1].error), (v1::State::Running, &None));
}

#[test]
fn without_waiting_the_answer_is_there_at_once_and_what_was_begun_goes_on() {
    let world = World::new();
    world.add(sleeper("slow").ready(neap::spec::Ready::logline("never")));
    let request = v1::StartRequest { names: names(&["slow"]), no_wait: true, timeout: None, ..Default::default() };
    let answer = world.run(async { world.neap().await.start(request).await }).unwrap().into_inner();
    assert!(answer.outcomes[0].error.is_none());
    wait_until("it runs", || world.supervisor.get("slow").unwrap().status().unwrap().pid.is_some());
    assert_eq!(world.supervisor.get("slow").unwrap().status().unwrap().state, StateName::Starting);
}

#[test]
fn a_signal_reaches_the_process_and_a_wait_sees_what_came_of_it() {
    let world = World::new();
    world.add(sleeper("web").restart(Restart::never())).start_blocking().unwrap();
    world.run(async {
        let (mut neap, mut other) = (world.neap().await, world.neap().await);
        let states = vec![v1::State::Failed.into(), v1::State::Stopped.into()];
        let wait = v1::WaitRequest { names: names(&["web"]), states, timeout: None };
        let waiting = tokio::spawn(async move { other.wait(wait).await });
        neap.signal(v1::SignalRequest { names: names(&["web"]), signal: "KILL".into() }).await.unwrap();
        let waited = waiting.await.unwrap().unwrap().into_inner();
        assert_eq!(state(waited.outcomes[0].state), v1::State::Failed);
        let listed = neap.list(v1::ListRequest::default()).await.unwrap().into_inner();
        assert_eq!((listed.processes[0].signal.as_deref(), listed.processes[0].exit_code), (Some("SIGKILL"), None));
    });
}

#[test]
fn a_wait_without_a_state_ends_when_the_start_is_decided() {
    let world = World::new();
    world.start("web");
    world.add(Spec::shell("bad", "exit 3").oneshot().restart(Restart::never())).start_blocking().unwrap_err();
    let wait = |name: &str| {
        let request = v1::WaitRequest { names: names(&[name]), ..Default::default() };
        world.run(async { world.neap().await.wait(request).await })
    };
    assert_eq!(state(wait("web").unwrap().into_inner().outcomes[0].state), v1::State::Running);
    assert!(wait("bad").unwrap_err().message().contains("exit code 3"));
}

#[test]
fn a_configuration_is_applied_by_the_instance() {
    let world = World::new();
    world.run(async {
        let mut neap = world.neap().await;
        let applied = neap.apply(v1::ApplyRequest::default()).await.unwrap().into_inner();
        assert_eq!((applied.generation, applied.added), (1, names(&["web"])));
        let config = Some("/srv/neap.lua".into());
        neap.apply(v1::ApplyRequest { config, dry_run: true }).await.unwrap();
    });
    assert_eq!(*world.backend.asked.lock().unwrap(), ["apply None false", "apply Some(\"/srv/neap.lua\") true"]);
}

#[test]
fn a_shutdown_is_answered_when_everything_is_down_and_calls_after_it_are_told() {
    let world = World::new();
    world.start("web");
    world.run(async {
        let mut neap = world.neap().await;
        let ended = neap.shutdown(v1::ShutdownRequest::default()).await.unwrap().into_inner();
        assert_eq!((ended.exit_code, ended.stuck.len()), (None, 0));
        let refused = neap.list(v1::ListRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
    });
}

#[test]
fn a_client_that_goes_away_drops_its_call_and_not_what_it_began() {
    let world = World::new();
    let gate = world.dir.path().join("gate");
    let line = format!("until test -e {}; do sleep 0.01; done; echo open; exec sleep 1000", gate.display());
    world.add(Spec::shell("web", line).ready(neap::spec::Ready::logline("^open")));
    let request = v1::StartRequest { names: names(&["web"]), ..Default::default() };
    world.run(async {
        let mut neap = world.neap().await;
        let call = tokio::spawn(async move { neap.start(request).await });
        let mut watcher = world.neap().await;
        let wait = v1::WaitRequest { names: names(&["web"]), states: vec![v1::State::Starting.into()], timeout: None };
        watcher.wait(wait).await.unwrap();
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        std::fs::write(&gate, "").unwrap();
        let wait = v1::WaitRequest { names: names(&["web"]), ..Default::default() };
        assert_eq!(state(watcher.wait(wait).await.unwrap().into_inner().outcomes[0].state), v1::State::Running);
    });
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let world = World::new();
    world.start("db");
    world.add(sleeper("web").requires("db").wants("cache")).start_blocking().unwrap();
    world.add(sleeper("cache"));
    let mut page = sleeper("page").requires("web");
    page.auto_start = false;
    world.add(page);
    let mut rival = sleeper("rival");
    rival.conflicts.push("page".into());
    world.add(rival).start_blocking().unwrap();
    let before = world.supervisor.list().unwrap();
    world.run(async {
        let mut neap = world.neap().await;
        let stop = v1::StopRequest { names: names(&["db", "page"]), dry_run: true, ..Default::default() };
        let outcomes = neap.stop(stop).await.unwrap().into_inner().outcomes;
        assert_eq!((outcomes[0].changed, &outcomes[0].along), (true, &names(&["web"])));
        assert_eq!((outcomes[1].changed, outcomes[1].along.len()), (false, 0), "it is down");
        let start = v1::StartRequest { names: names(&["page", "web"]), dry_run: true, ..Default::default() };
        let outcomes = neap.start(start).await.unwrap().into_inner().outcomes;
        assert_eq!((outcomes[0].changed, &outcomes[0].along), (true, &names(&["rival"])));
        assert_eq!((outcomes[1].changed, outcomes[1].along.len()), (false, 0), "it is up");
        let restart = v1::RestartRequest { names: names(&["web"]), dry_run: true, ..Default::default() };
        let outcomes = neap.restart(restart).await.unwrap().into_inner().outcomes;
        assert_eq!((outcomes[0].changed, outcomes[0].along.len()), (true, 0));
    });
    let runs = |list: &[neap::core::Status]| list.iter().map(|status| (status.state, status.run)).collect::<Vec<_>>();
    assert_eq!(runs(&world.supervisor.list().unwrap()), runs(&before));
}
