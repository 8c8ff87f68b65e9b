//! The calls of the older system that make, change, measure and forget processes.

use std::time::{Duration, Instant};

use neap::rpc::proto::process_manager as pm;
use neap::spec::{HookAction, Plan, ProbeTarget, ProcessType, Restart, RestartPolicy, Secret, Signal, Spec, StopMode};
use tonic::{Code, Response, Status};

use crate::support::DEADLINE;
use crate::world::{World, names, sleeper, word};

impl World {
    fn old_create(&self, request: pm::CreateRequest) -> Result<pm::CreateResponse, Status> {
        self.run(async { self.legacy().await.create(request).await }).map(Response::into_inner)
    }

    fn old_update(&self, request: pm::UpdateRequest) -> Result<pm::UpdateResponse, Status> {
        self.run(async { self.legacy().await.update(request).await }).map(Response::into_inner)
    }

    fn old_delete(&self, id: &str, force: bool) -> Result<pm::DeleteResponse, Status> {
        let request = pm::DeleteRequest { id: id.into(), force };
        self.run(async { self.legacy().await.delete(request).await }).map(Response::into_inner)
    }

    fn detail(&self, id: &str) -> pm::ProcessDetail {
        let request = pm::DescribeRequest { id: id.into() };
        let told = self.run(async { self.legacy().await.describe(request).await }).unwrap().into_inner();
        told.detail.expect("a detail")
    }

    fn defined(&self, name: &str) -> Spec {
        Spec::clone(&self.supervisor.get(name).expect("it is there").spec().unwrap())
    }
}

fn request(name: &str) -> pm::CreateRequest {
    pm::CreateRequest { name: name.into(), command: "sleep".into(), args: names(&["1000"]), ..Default::default() }
}

fn change(name: &str) -> pm::UpdateRequest {
    pm::UpdateRequest { id: name.into(), ..Default::default() }
}

#[test]
fn all_38_fields_of_a_create_come_back_in_the_detail() {
    let world = World::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        world.add(sleeper(name));
    }
    let health = pm::HealthCheck {
        r#type: pm::HealthCheckType::Http.into(),
        interval: 7,
        timeout: 2,
        retries: 4,
        start_period: 9,
        restart_after: 5,
        http_endpoint: "http://127.0.0.1:8080/health".into(),
        http_method: "HEAD".into(),
        http_expected_status: 204,
        ..Default::default()
    };
    let limits = pm::ResourceLimits {
        cpu_request: 500,
        cpu_limit: 1_500,
        memory_request: 1 << 20,
        memory_limit: 64 << 20,
        pids_limit: 20,
        oom_score_adj: 100,
    };
    let asked = pm::CreateRequest {
        name: "web".into(),
        command: "/opt/my app/run".into(),
        args: names(&["-c", "a b"]),
        restart: pm::RestartPolicy::OnFailure.into(),
        restart_sec: 3,
        restart_max_delay: 30,
        start_limit_burst: 7,
        start_limit_interval: 70,
        working_dir: "/tmp".into(),
        env: [("A".to_owned(), "1".to_owned())].into(),
        environment_file: "-/etc/default/web".into(),
        pidfile: "/run/web.pid".into(),
        auto_start: false,
        stdout: "/var/log/web.out".into(),
        stderr: "null".into(),
        timeout_start_sec: 11,
        timeout_stop_sec: 12,
        kill_signal: pm::KillSignal::Sigint.into(),
        kill_mode: pm::KillMode::Mixed.into(),
        success_exit_status: vec![0, 143],
        exec_start_pre: names(&["mkdir -p '/tmp/a b'", "  ", "true"]),
        exec_start_post: names(&["true"]),
        exec_stop_post: names(&["rm -f /tmp/x"]),
        user: "root".into(),
        group: "root".into(),
        after: names(&["a"]),
        before: names(&["b"]),
        requires: names(&["c"]),
        wants: names(&["d"]),
        binds_to: names(&["e"]),
        conflicts: names(&["f"]),
        process_type: pm::ProcessType::Forking.into(),
        health_check: Some(health.clone()),
        resource_limits: Some(limits),
        condition_path_exists: names(&["/etc/passwd", "!/nonexistent"]),
        runtime_directory: names(&["web"]),
        ambient_capabilities: names(&["CAP_NET_BIND_SERVICE"]),
        description: "a web server".into(),
    };
    let made = world.old_create(asked.clone()).unwrap();
    assert_eq!(made.state(), pm::ProcessState::Created);
    let detail = world.detail("web");
    assert_eq!((&detail.id, detail.name.as_str(), &detail.description), (&made.id, "web", &asked.description));
    assert_eq!((&detail.command, &detail.args), (&asked.command, &asked.args));
    assert_eq!((detail.restart_policy.as_str(), detail.restart_sec, detail.restart_max_delay), ("on-failure", 3, 30));
    assert_eq!((detail.start_limit_burst, detail.start_limit_interval), (7, 70));
    assert_eq!((&detail.working_dir, &detail.env), (&asked.working_dir, &asked.env));
    assert_eq!((&detail.environment_file, &detail.pidfile), (&asked.environment_file, &asked.pidfile));
    assert_eq!((&detail.stdout, &detail.stderr), (&asked.stdout, &asked.stderr));
    assert_eq!((detail.timeout_start_sec, detail.timeout_stop_sec), (11, 12));
    assert_eq!((detail.kill_signal_str.as_str(), detail.kill_mode_val()), ("SIGINT", pm::KillMode::Mixed));
    assert_eq!(detail.success_exit_status, [0, 143]);
    assert_eq!(detail.exec_start_pre, ["mkdir -p '/tmp/a b'", "true"]);
    assert_eq!((&detail.exec_start_post, &detail.exec_stop_post), (&asked.exec_start_post, &asked.exec_stop_post));
    assert_eq!((&detail.user, &detail.group), (&asked.user, &asked.group));
    assert_eq!((&detail.after, &detail.before), (&asked.after, &asked.before));
    assert_eq!((&detail.requires, &detail.wants), (&asked.requires, &asked.wants));
    assert_eq!((&detail.binds_to, &detail.conflicts), (&asked.binds_to, &asked.conflicts));
    assert_eq!(detail.process_type(), pm::ProcessType::Forking);
    assert_eq!((detail.health_check, detail.resource_limits), (Some(health), Some(limits)));
    assert_eq!(detail.condition_path_exists, asked.condition_path_exists);
    assert_eq!(detail.runtime_directory, asked.runtime_directory);
    assert_eq!(detail.ambient_capabilities, asked.ambient_capabilities);
    let spec = world.defined("web");
    assert_eq!(spec.limits.cpu_weight, Some(50), "a request is a weight of a tenth of its thousandths");
    let HookAction::Command(hook) = &spec.hooks.before_start[0].action else { panic!("a command") };
    assert_eq!(hook.as_slice(), ["mkdir", "-p", "/tmp/a b"]);
}

#[test]
fn what_is_absent_has_the_older_systems_defaults() {
    let world = World::new();
    world.old_create(request("web")).unwrap();
    let spec = world.defined("web");
    let expected = Restart::never().jitter(0.0).limit(5, Duration::from_secs(300));
    assert_eq!((spec.restart, spec.auto_start, spec.start_timeout), (expected, false, None));
    assert_eq!((spec.process_type, spec.stop.mode), (ProcessType::Simple, StopMode::ControlGroup));
    assert_eq!((spec.stop.sequence[0].signal, spec.stop.sequence[0].wait), (Signal::TERM, Duration::from_secs(90)));
    let detail = world.detail("web");
    assert_eq!(
        (detail.working_dir.as_str(), detail.stdout.as_str(), detail.stderr.as_str()),
        ("/", "inherit", "inherit")
    );
    assert_eq!((detail.health_check, detail.resource_limits), (None, None));
    // Empty messages say nothing either.
    let empty = pm::CreateRequest {
        health_check: Some(pm::HealthCheck::default()),
        resource_limits: Some(pm::ResourceLimits::default()),
        ..request("api")
    };
    world.old_create(empty).unwrap();
    assert_eq!((world.defined("api").health, world.defined("api").limits), (None, Default::default()));
}

#[test]
fn with_auto_start_the_answer_comes_when_it_is_executed_or_has_failed() {
    let world = World::new();
    let made = world.old_create(pm::CreateRequest { auto_start: true, ..request("web") }).unwrap();
    assert_eq!(made.state(), pm::ProcessState::Running);
    let gone = pm::CreateRequest { command: "/nonexistent/x".into(), auto_start: true, ..request("gone") };
    assert_eq!(world.old_create(gone).unwrap().state(), pm::ProcessState::Crashed);
    // It is not ready before it says so, which this one never does.
    let notify = pm::ProcessType::Notify.into();
    let quiet = pm::CreateRequest { process_type: notify, auto_start: true, ..request("quiet") };
    assert_eq!(world.old_create(quiet).unwrap().state(), pm::ProcessState::Starting);
}

#[test]
fn what_is_wrong_with_a_create_is_told_by_the_requests_own_names() {
    let world = World::new();
    let health = |health: pm::HealthCheck| pm::CreateRequest { health_check: Some(health), ..request("web") };
    let tcp = pm::HealthCheck { r#type: 1, tcp_port: 70_000, ..Default::default() };
    for (asked, words) in [
        (pm::CreateRequest { name: String::new(), ..request("") }, "name"),
        (request("a b"), "a b"),
        (pm::CreateRequest { command: String::new(), ..request("web") }, "command"),
        (pm::CreateRequest { restart: 9, ..request("web") }, "restart: 9 is none of NEVER (0)"),
        (pm::CreateRequest { kill_signal: 7, ..request("web") }, "kill_signal: 7 is none of"),
        (pm::CreateRequest { kill_mode: -1, ..request("web") }, "kill_mode: -1 is none of"),
        (pm::CreateRequest { process_type: 4, ..request("web") }, "process_type: 4 is none of"),
        (pm::CreateRequest { restart_sec: u64::MAX, ..request("web") }, "restart_sec: "),
        (
            pm::CreateRequest { exec_start_pre: names(&["echo 'x"]), ..request("web") },
            "exec_start_pre[1].command: cannot split",
        ),
        (pm::CreateRequest { requires: names(&["nobody"]), ..request("web") }, "requires"),
        (pm::CreateRequest { user: "0x10".into(), ..request("web") }, "user: "),
        (health(pm::HealthCheck { r#type: 5, ..Default::default() }), "health_check.type: 5 is none of"),
        (health(pm::HealthCheck { interval: 5, ..Default::default() }), "health_check: needs `url`"),
        (health(tcp), "health_check.tcp_port: "),
    ] {
        let refused = world.old_create(asked).unwrap_err();
        assert_eq!((refused.code(), word(&refused)), (Code::InvalidArgument, "invalid".to_owned()), "{refused:?}");
        assert!(refused.message().contains(words), "{} has no {words}", refused.message());
    }
    assert_eq!(world.supervisor.list().unwrap(), []);
    world.old_create(request("web")).unwrap();
    let refused = world.old_create(request("web")).unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::AlreadyExists, "exists".to_owned()));
}

#[test]
fn an_update_of_policy_limits_and_health_keeps_the_pid_and_names_the_fields() {
    let world = World::new();
    world.old_create(pm::CreateRequest { auto_start: true, ..request("web") }).unwrap();
    let pid = world.detail("web").pid;
    let exec = pm::HealthCheck { r#type: 2, exec_command: "true".into(), interval: 5, ..Default::default() };
    let asked = pm::UpdateRequest {
        restart_policy: Some("ON_FAILURE".into()),
        timeout_stop_sec: Some(5),
        restart_sec: Some(0),
        restart_max: Some(20),
        resource_limits: Some(pm::ResourceLimits { memory_limit: 64 << 20, pids_limit: 9, ..Default::default() }),
        health_check: Some(exec.clone()),
        success_exit_status: vec![0, 3],
        kill_mode: Some("process".into()),
        kill_signal: Some("SIGINT".into()),
        restart_process: true,
        ..change("web")
    };
    let told = world.old_update(asked.clone()).unwrap();
    let mut fields = told.updated_fields;
    fields.sort_unstable();
    let live = [
        "health_check",
        "kill_mode",
        "kill_signal",
        "resources",
        "restart_max_delay",
        "restart_policy",
        "restart_sec",
        "success_exit_status",
        "timeout_stop_sec",
    ];
    assert_eq!(fields, live);
    assert_eq!((told.restart_required_fields.as_slice(), told.process_restarted), ([].as_slice(), false));
    let detail = world.detail("web");
    assert_eq!((detail.pid, detail.restart_policy.as_str(), detail.restart_sec), (pid, "on-failure", 0));
    assert_eq!((detail.timeout_stop_sec, detail.kill_signal_str.as_str()), (5, "SIGINT"));
    assert_eq!(detail.resource_limits.unwrap().memory_limit, 64 << 20);
    let spec = world.defined("web");
    assert_eq!((spec.restart.policy, spec.restart.max_delay), (RestartPolicy::OnFailure, Duration::from_secs(20)));
    assert_eq!(spec.health.unwrap().target, ProbeTarget::Exec(names(&["true"])));
    assert_eq!(world.old_update(asked).unwrap(), pm::UpdateResponse::default(), "it is so already");
    // A message is given whole: what it leaves out is not limited, and has its default.
    let limits = Some(pm::ResourceLimits { cpu_limit: 500, ..Default::default() });
    world.old_update(pm::UpdateRequest { resource_limits: limits, ..change("web") }).unwrap();
    let limits = world.defined("web").limits;
    assert_eq!((limits.cpu_millis, limits.memory, limits.pids), (Some(500), None, None));
    let health_check = Some(pm::HealthCheck { interval: 0, ..exec });
    world.old_update(pm::UpdateRequest { health_check, ..change("web") }).unwrap();
    assert_eq!(world.defined("web").health.unwrap().interval, Duration::from_secs(30));
}

#[test]
fn env_and_user_need_a_restart_which_is_made_when_it_is_asked_for() {
    let world = World::new();
    let env = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())].into();
    world.old_create(pm::CreateRequest { auto_start: true, env, ..request("web") }).unwrap();
    let pid = world.detail("web").pid;
    let asked = pm::UpdateRequest { env: names(&["B=3", "C=4=5"]), user: Some("root".into()), ..change("web") };
    let told = world.old_update(pm::UpdateRequest { dry_run: true, restart_process: true, ..asked.clone() }).unwrap();
    assert_eq!((&told.updated_fields, told.process_restarted), (&names(&["env", "user"]), false));
    assert_eq!(world.detail("web").env["B"], "2", "that was a dry run");
    let told = world.old_update(asked).unwrap();
    assert_eq!((&told.restart_required_fields, told.process_restarted), (&names(&["env", "user"]), false));
    assert_eq!(world.detail("web").pid, pid);
    let env = &world.detail("web").env;
    assert_eq!((env.len(), env["B"].as_str(), env["C"].as_str()), (2, "3", "4=5"), "the list replaces all of it");
    // An empty text takes a key away.
    let asked = pm::UpdateRequest { user: Some(String::new()), restart_process: true, ..change("web") };
    let told = world.old_update(asked).unwrap();
    assert_eq!(
        (told.restart_required_fields, told.process_restarted),
        (names(&["env"]), true),
        "what waited is made, and the user is what it was when it was executed"
    );
    let detail = world.detail("web");
    assert!(detail.pid > 0 && detail.pid != pid && detail.user.is_empty());
}

#[test]
fn a_secret_that_was_shown_and_comes_back_is_still_the_secret() {
    let world = World::new();
    world.add(sleeper("web").secret_env("TOKEN", Secret::new("s3cret")));
    assert_eq!(world.detail("web").env["TOKEN"], "***");
    world.old_update(pm::UpdateRequest { env: names(&["TOKEN=***", "A=1"]), ..change("web") }).unwrap();
    assert_eq!(world.defined("web").secret_env["TOKEN"].expose(), "s3cret");
}

#[test]
fn updates_are_refused_with_the_status_of_their_reason() {
    let world = World::new();
    world.old_create(request("web")).unwrap();
    for (asked, words) in [
        (
            pm::UpdateRequest { restart_policy: Some("sometimes".into()), ..change("web") },
            "restart_policy: expected one of",
        ),
        (pm::UpdateRequest { kill_signal: Some("SIGNOPE".into()), ..change("web") }, "kill_signal: expected a signal"),
        (pm::UpdateRequest { env: names(&["A"]), ..change("web") }, "env: `A` is no variable"),
        (pm::UpdateRequest { success_exit_status: vec![256], ..change("web") }, "success_exit_status[1]: "),
        (change(""), "id: is missing"),
    ] {
        let refused = world.old_update(asked).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains(words), "{} has no {words}", refused.message());
    }
    assert_eq!(world.old_update(change("nobody")).unwrap_err().code(), Code::NotFound);
}

#[test]
fn what_is_deleted_is_gone_and_what_runs_or_is_configured_is_refused() {
    let world = World::new();
    let made = world.old_create(pm::CreateRequest { auto_start: true, ..request("web") }).unwrap();
    let refused = world.old_delete("web", false).unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::FailedPrecondition, "state".to_owned()));
    world.old_delete(&made.id, true).unwrap();
    assert_eq!(world.old_delete("web", true).unwrap_err().code(), Code::NotFound);
    let mut plan = Plan::new();
    plan.insert(sleeper("configured")).unwrap();
    world.supervisor.apply(plan).wait().unwrap();
    assert_eq!(world.old_delete("configured", true).unwrap_err().code(), Code::FailedPrecondition);
}

#[test]
fn an_unmet_condition_is_a_failed_precondition() {
    let world = World::new();
    let condition_path_exists = names(&["/nonexistent/neap"]);
    world.old_create(pm::CreateRequest { condition_path_exists, ..request("web") }).unwrap();
    let start = pm::StartRequest { id: "web".into() };
    let refused = world.run(async { world.legacy().await.start(start).await }).unwrap_err();
    assert_eq!((refused.code(), word(&refused)), (Code::FailedPrecondition, "skipped".to_owned()));
}

#[test]
fn reload_config_applies_the_configuration() {
    let world = World::new();
    let reload = async || world.legacy().await.reload_config(pm::ReloadConfigRequest {}).await;
    world.run(reload()).unwrap();
    assert_eq!(world.backend.asked.lock().unwrap().as_slice(), ["apply None false"]);
}

#[test]
fn what_a_process_uses_is_told_and_one_that_does_not_run_uses_nothing() {
    let world = World::new();
    let limits = Some(pm::ResourceLimits { memory_limit: 64 << 20, pids_limit: 9, ..Default::default() });
    world.old_create(pm::CreateRequest { resource_limits: limits, ..request("web") }).unwrap();
    let usage = || {
        let request = pm::GetResourceUsageRequest { id: "web".into() };
        let told = world.run(async { world.legacy().await.get_resource_usage(request).await });
        told.unwrap().into_inner().usage.expect("figures")
    };
    let idle = usage();
    assert_eq!((idle.memory_current, idle.pids_current, idle.memory_limit, idle.pids_limit), (0, 0, 64 << 20, 9));
    world.supervisor.get("web").unwrap().start_blocking().unwrap();
    let used = usage();
    assert!(used.memory_current > 0 && used.pids_current >= 1, "{used:?}");
    let request = pm::GetResourceUsageRequest { id: "nobody".into() };
    let refused = world.run(async { world.legacy().await.get_resource_usage(request).await }).unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[test]
fn the_detail_tells_failures_and_the_time_of_the_last_health_check() {
    let world = World::new();
    let health_check = pm::HealthCheck { r#type: 2, exec_command: "false".into(), interval: 1, ..Default::default() };
    let asked = pm::CreateRequest { health_check: Some(health_check), auto_start: true, ..request("web") };
    world.old_create(asked).unwrap();
    let deadline = Instant::now() + DEADLINE;
    while world.detail("web").health_check_failures == 0 {
        assert!(Instant::now() < deadline, "no probe failed");
    }
    let detail = world.detail("web");
    assert!(detail.last_health_check >= detail.started_at && detail.started_at > 0, "{detail:?}");
    assert!(matches!(detail.health_status.as_str(), "starting" | "unhealthy"), "{detail:?}");
}
