//! Each error status, with what programs read of it.

use neap::rpc::error_detail;
use neap::rpc::proto::v1;
use neap::spec::{Restart, Spec};
use tonic::{Code, Status};

use crate::world::{World, names, sleeper, state, word};

fn start(world: &World, wanted: &[&str]) -> Result<v1::StartResponse, Status> {
    let request = v1::StartRequest { names: names(wanted), ..Default::default() };
    world.run(async { world.neap().await.start(request).await }).map(tonic::Response::into_inner)
}

#[test]
fn a_name_that_means_nothing_is_not_found_before_anything_is_begun() {
    let world = World::new();
    world.add(sleeper("web"));
    let refused = start(&world, &["web", "wbe"]).unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "there is no process `wbe`; did you mean `web`?"));
    let detail = error_detail(&refused).unwrap();
    assert_eq!((detail.code.as_str(), detail.process.as_deref()), ("not_found", Some("wbe")));
    assert_eq!(world.supervisor.list().unwrap()[0].run_count, 0);
    assert_eq!(start(&world, &["x*"]).unwrap_err().message(), "no process matches `x*`");
    let nobody = "00000000-0000-8000-8000-000000000000";
    assert_eq!(start(&world, &[nobody]).unwrap_err().code(), Code::NotFound);
}

#[test]
fn a_request_that_says_nothing_or_nonsense_is_an_invalid_argument() {
    let world = World::new();
    world.start("web");
    assert_eq!(start(&world, &[]).unwrap_err().code(), Code::InvalidArgument);
    world.run(async {
        let mut neap = world.neap().await;
        let signal = v1::SignalRequest { names: names(&["web"]), signal: "\u{1b}[2J".into() };
        let refused = neap.signal(signal).await.unwrap_err();
        assert_eq!((refused.code(), word(&refused)), (Code::InvalidArgument, "invalid".to_owned()));
        assert!(!refused.message().contains('\u{1b}'));
        let wait = v1::WaitRequest { names: names(&["web"]), states: vec![77], timeout: None };
        assert_eq!(neap.wait(wait).await.unwrap_err().code(), Code::InvalidArgument);
        let apply = v1::ApplyRequest { config: Some("neap.lua".into()), dry_run: false };
        assert_eq!(neap.apply(apply).await.unwrap_err().code(), Code::InvalidArgument);
    });
}

#[test]
fn a_configuration_that_is_refused_names_file_line_and_field() {
    let world = World::new();
    let request = v1::ApplyRequest { config: Some("/bad.lua".into()), dry_run: false };
    let refused = world.run(async { world.neap().await.apply(request).await }).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), "bad.lua:3: process `web`: restart.delay: is no duration");
    let problems = error_detail(&refused).unwrap().problems;
    let first = &problems[0];
    assert_eq!(
        (first.file.as_deref(), first.line, first.field.as_deref()),
        (Some("bad.lua"), Some(3), Some("restart.delay"))
    );
    assert!(!first.warning && problems[1].warning);
}

#[test]
fn a_state_that_does_not_allow_it_is_a_failed_precondition() {
    let world = World::new();
    world.add(sleeper("web"));
    world.run(async {
        let mut neap = world.neap().await;
        let signal = v1::SignalRequest { names: names(&["web"]), signal: "HUP".into() };
        let refused = neap.signal(signal).await.unwrap_err();
        let detail = error_detail(&refused).unwrap();
        assert_eq!(
            (refused.code(), detail.code.as_str(), state(detail.state)),
            (Code::FailedPrecondition, "state", v1::State::Created)
        );
        let refused = neap.upgrade(v1::UpgradeRequest::default()).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "there is no anchor to do it"));
    });
}

#[test]
fn an_unmet_condition_is_a_failed_precondition() {
    let world = World::new();
    let mut spec = sleeper("web");
    spec.conditions.path_exists.push("/nonexistent/neap".into());
    world.add(spec);
    let refused = start(&world, &["web"]).unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::FailedPrecondition, "skipped".to_owned()));
}

#[test]
fn a_start_that_fails_says_why_and_when_it_is_tried_again() {
    let world = World::new();
    world.add(Spec::new("gone", ["/nonexistent/program"]).restart(Restart::never()));
    let refused = start(&world, &["gone"]).unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::Aborted, "start_failed".to_owned()));
    assert!(refused.message().contains("/nonexistent/program"), "{}", refused.message());
    world.add(
        Spec::shell("again", "exit 1")
            .oneshot()
            .restart(Restart::on_failure().delay(std::time::Duration::from_secs(100))),
    );
    let refused = start(&world, &["again"]).unwrap_err();
    assert!(error_detail(&refused).unwrap().retry_in.unwrap() >= 90_000);
}

#[test]
fn time_that_is_up_is_a_deadline_exceeded_and_the_start_goes_on() {
    let world = World::new();
    world.add(sleeper("slow").ready(neap::spec::Ready::logline("never")));
    let request = v1::StartRequest { names: names(&["slow"]), no_wait: false, timeout: Some(1), ..Default::default() };
    let refused = world.run(async { world.neap().await.start(request).await }).unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::DeadlineExceeded, "timed_out".to_owned()));
    assert!(refused.message().contains("what was begun goes on"), "{}", refused.message());
    assert_eq!(world.supervisor.get("slow").unwrap().status().unwrap().state, neap::core::StateName::Starting);
}

#[test]
fn an_instance_that_shuts_down_starts_nothing_and_says_so() {
    let world = World::new();
    let mut stubborn = Spec::shell("stubborn", "trap '' TERM; echo up; while :; do sleep 0.1; done");
    stubborn.ready = neap::spec::Ready::logline("^up");
    world.add(stubborn).start_blocking().unwrap();
    world.add(sleeper("web"));
    world.run(async {
        let mut neap = world.neap().await;
        neap.shutdown(v1::ShutdownRequest { no_wait: true }).await.unwrap();
        let refused = neap.start(v1::StartRequest { names: names(&["web"]), ..Default::default() }).await.unwrap_err();
        assert_eq!((refused.code(), word(&refused)), (Code::Unavailable, "shutting_down".to_owned()));
        // A second one does not wait for the ladder.
        neap.shutdown(v1::ShutdownRequest::default()).await.unwrap();
    });
}
