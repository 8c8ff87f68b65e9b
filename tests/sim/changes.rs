//! What is defined changes while it runs: create, update, delete, apply.

use neap::core::{Applied, ChangeKind, Command, Done, EventKind, Refusal, StateName::*};
use neap::sim::{Behaviour, Killing};
use neap::spec::{FunctionId, Hook, Restart};

use super::harness::*;

fn names(applied: &Applied, kind: ChangeKind) -> Vec<&str> {
    applied.of(kind).map(|change| &*change.name).collect()
}

#[test]
fn a_process_is_created_at_run_time_and_may_start_at_once() {
    let mut s = Scenario::empty();
    let create = s.command(Command::Create { spec: Box::new(spec("web")), start: true });
    assert!(matches!(s.reply(create), Ok(Done::Created(_))));
    s.is("web", Running);
    assert!(s.status("web").runtime);
    let again = s.command(Command::Create { spec: Box::new(spec("web")), start: false });
    assert_eq!(s.refused(again), Refusal::Exists("web".into()));
}

#[test]
fn a_wrong_spec_is_refused_and_nothing_is_made() {
    let mut s = Scenario::empty();
    let create = s.command(Command::Create { spec: Box::new(spec("web").requires("nobody")), start: true });
    assert!(matches!(s.refused(create), Refusal::Invalid(_)));
    assert_eq!(s.world.find("web"), None);
}

#[test]
fn an_update_that_applies_live_keeps_the_run() {
    let mut s = Scenario::with([spec("web")]);
    s.start("web");
    let run = s.run("web");
    let updated = s.update(spec("web").stop(term_within(3)).restart(Restart::always()), true);
    let told = |key: &str| updated.fields().iter().any(|field| field.starts_with(key));
    assert!(told("restart.policy") && told("stop.timeout"), "{:?}", updated.fields());
    assert!(updated.needs_restart().is_empty() && !updated.restarted);
    assert_eq!(s.run("web"), run);
    s.behave("web", stubborn());
    s.world.behave_now("web", |does| does.obeys = None);
    let stop = s.stop("web");
    s.pass(secs(3));
    s.came_to(stop, Stopped);
}

#[test]
fn an_update_that_needs_a_restart_waits_for_one_unless_it_is_asked_for() {
    let mut s = Scenario::with([spec("web")]);
    s.start("web");
    let run = s.run("web");
    let updated = s.update(spec("web").env("LEVEL", "debug"), false);
    assert_eq!((updated.needs_restart().len(), updated.restarted), (1, false));
    assert_eq!(s.run("web"), run);
    assert!(s.events("web").iter().any(|event| matches!(event.kind, EventKind::Updated { .. })));
    let updated = s.update(spec("web").env("LEVEL", "trace"), true);
    assert!(updated.restarted);
    s.is("web", Running);
    assert_ne!(s.run("web"), run);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let mut s = Scenario::with([spec("web")]);
    s.start("web");
    let process = s.id("web");
    let run = s.run("web");
    let changed = Box::new(spec("web").env("LEVEL", "debug"));
    let dry = s.command(Command::Update { process, spec: changed, restart: true, dry_run: true });
    match s.reply(dry) {
        Ok(Done::Updated(updated)) => assert_eq!((updated.needs_restart().len(), updated.restarted), (1, false)),
        other => s.fail(&format!("answered with {other:?}")),
    }
    assert_eq!(s.run("web"), run);
    assert!(s.world.machine().spec(process).is_some_and(|spec| spec.env.is_empty()));
}

#[test]
fn an_update_of_a_configured_process_is_an_override_until_the_next_apply() {
    let mut s = Scenario::with([spec("web")]);
    s.update(spec("web").restart(Restart::always()), false);
    assert!(s.status("web").overridden);
    let applied = s.apply([spec("web")]);
    assert!(!s.status("web").overridden);
    assert_eq!(names(&applied, ChangeKind::Updated), ["web"]);
}

#[test]
fn delete_is_refused_for_a_configured_process() {
    let mut s = Scenario::with([spec("web")]);
    let delete = s.delete("web", true);
    s.refused(delete);
    s.is("web", Created);
}

#[test]
fn delete_is_refused_while_it_runs_unless_forced() {
    let mut s = Scenario::empty();
    s.command(Command::Create { spec: Box::new(spec("web")), start: true });
    let delete = s.delete("web", false);
    assert!(matches!(s.refused(delete), Refusal::State { state: Running, .. }));
    let delete = s.delete("web", true);
    assert_eq!(s.reply(delete), Ok(Done::Deleted));
    assert_eq!(s.world.find("web"), None);
    assert_eq!(s.world.members("web"), []);
}

#[test]
fn a_forced_delete_of_what_will_not_die_names_it_and_forgets_it_when_it_is_gone() {
    let mut s = Scenario::empty();
    s.command(Command::Create { spec: Box::new(spec("web").stop(term_within(1))), start: false });
    s.behave("web", Behaviour { obeys: None, killing: Killing::StuckFor(secs(300)), ..Behaviour::default() });
    s.start("web");
    let delete = s.delete("web", true);
    s.pass(secs(60));
    assert!(matches!(s.refused(delete), Refusal::Stuck { .. }));
    let again = s.delete("web", true);
    assert!(matches!(s.refused(again), Refusal::Stuck { .. }));
    s.pass(secs(300));
    assert_eq!(s.world.find("web"), None);
}

#[test]
fn what_is_asked_of_a_process_that_is_gone_is_answered_with_not_found() {
    let mut s = Scenario::empty();
    s.command(Command::Create { spec: Box::new(spec("web")), start: false });
    let id = s.id("web");
    s.delete("web", false);
    for command in
        [Command::Start(id), Command::Stop(id), Command::Restart(id), Command::Delete { process: id, force: true }]
    {
        let refused = s.command(command);
        assert_eq!(s.refused(refused), Refusal::NotFound);
    }
    s.command(Command::Create { spec: Box::new(spec("web")), start: false });
    assert_ne!(s.id("web"), id, "a name that is made again gets a new place");
}

#[test]
fn apply_adds_removes_changes_and_leaves_alone() {
    let mut s = Scenario::with([
        spec("stays").auto_start(true),
        spec("changes").auto_start(true),
        spec("goes").auto_start(true),
        spec("live").auto_start(true),
    ]);
    let (stays, live, changes) = (s.run("stays"), s.run("live"), s.run("changes"));
    let pid = s.pid("stays");
    let applied = s.apply([
        spec("stays").auto_start(true),
        spec("changes").auto_start(true).arg("--new"),
        spec("live").auto_start(true).stop(term_within(3)),
        spec("comes").auto_start(true),
    ]);
    assert_eq!(names(&applied, ChangeKind::Added), ["comes"]);
    assert_eq!(names(&applied, ChangeKind::Removed), ["goes"]);
    assert_eq!(names(&applied, ChangeKind::Restarted), ["changes"]);
    assert_eq!(names(&applied, ChangeKind::Updated), ["live"]);
    assert_eq!(names(&applied, ChangeKind::Unchanged), ["stays"]);
    s.pass(secs(1));
    s.are(&["stays", "changes", "live", "comes"], Running);
    assert_eq!(s.world.find("goes"), None);
    assert_eq!((s.run("stays"), s.pid("stays"), s.run("live")), (stays, pid, live));
    assert_ne!(s.run("changes"), changes);
}

#[test]
fn a_plan_with_one_wrong_spec_changes_nothing_at_all() {
    let mut s = Scenario::with([spec("a").auto_start(true), spec("b")]);
    let run = s.run("a");
    let outputs = s.world.outputs().len();
    let wrong =
        plan([spec("a").arg("--new").auto_start(true), spec("c").auto_start(true), spec("d").requires("nobody")]);
    let apply = s.command(Command::Apply(Box::new(wrong)));
    match s.refused(apply) {
        Refusal::Invalid(error) => assert!(error.to_string().contains("nobody"), "{error}"),
        other => s.fail(&format!("answered with {other:?}")),
    }
    assert_eq!(s.run("a"), run);
    assert_eq!(s.world.find("c"), None);
    assert!(s.world.find("b").is_some());
    let done = s.world.outputs()[outputs..]
        .iter()
        .filter(|(_, output)| !matches!(output, neap::core::Output::Reply(..) | neap::core::Output::Emit(_)));
    assert_eq!(done.count(), 0);
}

#[test]
fn cycles_of_order_are_refused_with_their_path() {
    let mut s = Scenario::empty();
    let wrong = plan([spec("a").requires("b"), spec("b").after("c"), spec("c").binds_to("a")]);
    let apply = s.command(Command::Apply(Box::new(wrong)));
    match s.refused(apply) {
        Refusal::Invalid(error) => {
            let text = error.to_string();
            assert!(["a", "b", "c"].iter().all(|name| text.contains(name)), "{text}");
        }
        other => s.fail(&format!("answered with {other:?}")),
    }
}

#[test]
fn circles_of_follows_and_part_of_are_refused_for_they_would_restart_for_ever() {
    let mut s = Scenario::empty();
    let wrong = plan([spec("a").part_of("c"), spec("b").follows("a"), spec("c").follows("b")]);
    let apply = s.command(Command::Apply(Box::new(wrong)));
    match s.refused(apply) {
        Refusal::Invalid(error) => assert!(error.to_string().contains("for ever"), "{error}"),
        other => s.fail(&format!("answered with {other:?}")),
    }
    // Parts of each other are restarted once, together.
    let fine = plan([spec("a").part_of("b").auto_start(true), spec("b").part_of("a").auto_start(true)]);
    let apply = s.command(Command::Apply(Box::new(fine)));
    assert!(matches!(s.reply(apply), Ok(Done::Applied(_))));
    let restart = s.restart("a");
    s.came_to(restart, Running);
}

#[test]
fn a_waiter_on_a_start_that_the_plan_removes_gets_its_answer() {
    let mut s = Scenario::with([notify("db"), spec("web").requires("db")]);
    s.behave("db", silent());
    let (db, web) = (s.start("db"), s.start("web"));
    assert!(s.is_open(db) && s.is_open(web));
    s.apply([spec("other")]);
    s.pass(secs(30));
    assert!(matches!(s.refused(db), Refusal::Superseded { .. }));
    assert!(matches!(s.refused(web), Refusal::Superseded { .. }));
    assert_eq!((s.world.find("db"), s.world.find("web")), (None, None));
}

#[test]
fn a_plan_may_come_while_its_processes_start_and_stop() {
    let mut s = Scenario::with([notify("db").auto_start(true), spec("web").auto_start(true)]);
    s.behave("web", Behaviour { obeys: Some(secs(5)), ..Behaviour::default() });
    s.world.behave_now("web", |does| does.obeys = Some(secs(5)));
    let stop = s.stop("web");
    s.apply([notify("db").auto_start(true).arg("--new"), spec("web").auto_start(true).arg("--new")]);
    s.pass(secs(60));
    s.is("db", Running);
    assert!(!s.is_open(stop));
    s.is("web", Stopped);
}

#[test]
fn an_operators_stop_survives_an_apply() {
    let mut s = Scenario::with([spec("web").auto_start(true)]);
    s.stop("web");
    s.apply([spec("web").auto_start(true), spec("new").auto_start(true)]);
    s.is("web", Stopped);
    s.is("new", Running);
}

#[test]
fn processes_made_at_run_time_are_left_alone_by_an_apply() {
    let mut s = Scenario::with([spec("a").auto_start(true)]);
    s.command(Command::Create { spec: Box::new(spec("mine")), start: true });
    let run = s.run("mine");
    s.apply([spec("b").auto_start(true)]);
    s.pass(secs(1));
    assert_eq!(s.run("mine"), run);
    assert_eq!(s.world.find("a"), None);
}

#[test]
fn another_function_is_no_difference() {
    let with = |id| spec("web").auto_start(true).after_stop(Hook::function(FunctionId(id)));
    let mut s = Scenario::with([with(1)]);
    let run = s.run("web");
    let applied = s.apply([with(2)]);
    assert_eq!(names(&applied, ChangeKind::Unchanged), ["web"]);
    assert_eq!(s.run("web"), run);
    let id = s.id("web");
    let spec = s.world.machine().spec(id).expect("a spec");
    assert_eq!(spec.hooks.after_stop, [Hook::function(FunctionId(2))], "but it is bound to the new one");
}

#[test]
fn a_removed_process_that_others_required_is_refused_by_validation() {
    let mut s = Scenario::with([spec("db").auto_start(true), spec("web").requires("db").auto_start(true)]);
    let apply = s.command(Command::Apply(Box::new(plan([spec("web").requires("db").auto_start(true)]))));
    assert!(matches!(s.refused(apply), Refusal::Invalid(_)));
    s.are(&["db", "web"], Running);
}

#[test]
fn an_apply_that_restarts_what_others_require_brings_them_back() {
    let mut s = Scenario::with([spec("db").auto_start(true), spec("web").requires("db").auto_start(true)]);
    s.apply([spec("db").auto_start(true).arg("--new"), spec("web").requires("db").auto_start(true)]);
    s.pass(secs(1));
    s.are(&["db", "web"], Running);
}

#[test]
fn whoever_waits_to_start_waits_for_what_the_new_plan_says() {
    let mut s = Scenario::with([notify("db"), spec("web").binds_to("db")]);
    s.behave("db", silent());
    let start = s.start("web");
    s.is("web", Waiting);
    s.apply([notify("db"), spec("web")]);
    s.came_to(start, Running);

    let mut s = Scenario::with([notify("db"), notify("cache"), spec("web").requires("db")]);
    s.behave("db", silent());
    s.behave("cache", silent());
    let start = s.start("web");
    s.apply([notify("db"), notify("cache"), spec("web").requires("cache")]);
    s.is("web", Waiting);
    s.is("cache", Starting);
    let cache = s.run("cache");
    s.hear(neap::core::Input::Notified(cache, neap::core::Notification::Ready));
    s.came_to(start, Running);
}

#[test]
fn whoever_waits_to_stop_waits_for_what_the_new_plan_says() {
    let mut s = Scenario::with([spec("db"), spec("web").requires("db").stop(term_within(90))]);
    s.behave("web", stubborn());
    s.start("web");
    let stop = s.stop("db");
    assert!(s.is_open(stop));
    s.apply([spec("db"), spec("web").stop(term_within(90))]);
    s.came_to(stop, Stopped);
    s.is("web", Stopping);
}

#[test]
fn a_plan_that_makes_a_waiting_process_conflict_with_a_running_one_stops_that() {
    let mut s = Scenario::with([spec("old"), notify("db"), spec("web").requires("db")]);
    s.behave("db", silent());
    s.start("old");
    let web = s.start("web");
    s.apply([spec("old"), notify("db"), spec("web").requires("db").conflicts("old")]);
    s.is("old", Stopped);
    let db = s.run("db");
    s.hear(neap::core::Input::Notified(db, neap::core::Notification::Ready));
    s.came_to(web, Running);
}

#[test]
fn a_run_that_its_health_is_to_make_ready_keeps_that_when_the_new_spec_has_none() {
    let health = neap::spec::Health::new(neap::spec::ProbeTarget::http("http://127.0.0.1/health"));
    let mut s = Scenario::with([spec("web").health(health).ready(neap::spec::Ready::Health)]);
    s.behave("web", Behaviour { probes: (secs(0), Err("503".into())), ..Behaviour::default() });
    let start = s.start("web");
    s.pass(secs(1));
    s.update(spec("web"), false);
    s.pass(secs(1));
    s.world.behave_now("web", |does| does.probes = (secs(0), Ok(())));
    s.pass(secs(2));
    s.came_to(start, Running);
}

#[test]
fn an_update_that_takes_the_health_check_away_calls_off_the_probe_in_flight() {
    let health = neap::spec::Health::new(neap::spec::ProbeTarget::http("http://127.0.0.1/health"));
    let mut s = Scenario::with([spec("web").health(health)]);
    s.behave("web", Behaviour { probes: (secs(4), Ok(())), ..Behaviour::default() });
    s.start("web");
    s.pass(secs(12));
    s.update(spec("web"), false);
    let called_off = s.since().iter().any(|(_, output)| matches!(output, neap::core::Output::StopProbe(..)));
    s.assert(called_off, "the probe is called off");
    assert_eq!(s.health("web"), neap::core::HealthStatus::Unknown);
    let stop = s.stop("web");
    s.came_to(stop, Stopped);
}

#[test]
fn who_needs_a_process_that_is_being_removed_is_refused() {
    let mut s = Scenario::empty();
    s.command(Command::Create { spec: Box::new(spec("db").stop(term_within(10))), start: false });
    s.command(Command::Create { spec: Box::new(spec("web").requires("db")), start: false });
    s.behave("db", stubborn());
    s.start("db");
    let delete = s.delete("db", true);
    s.is("db", Stopping);
    let web = s.start("web");
    s.pass(secs(10));
    assert_eq!(s.reply(delete), Ok(Done::Deleted));
    match s.refused(web) {
        Refusal::StartFailed { reason, .. } => assert!(reason.contains("`db`"), "{reason}"),
        other => s.fail(&format!("answered with {other:?}")),
    }
}

#[test]
fn a_follower_that_is_being_removed_does_not_come_back_and_keeps_nobody_waiting() {
    let mut s = Scenario::empty();
    for spec in
        [spec("base"), spec("db").requires("base").follows("base").stop(term_within(60)), spec("web").requires("db")]
    {
        s.command(Command::Create { spec: Box::new(spec), start: false });
    }
    s.behave("db", stubborn());
    s.start("db");
    // Stopped for the sake of `base`, and on its way out while that comes back.
    s.stop("base");
    s.delete("db", true);
    let base = s.start("base");
    let web = s.start("web");
    s.pass(secs(120));
    assert!(!s.is_open(base) && !s.is_open(web));
    assert_eq!(s.world.find("db"), None);
}
