use std::time::Duration;

use super::check_relations;
use crate::spec::{
    Conditions, FunctionId, Health, Hook, HttpProbe, Limits, Plan, Probe, ProbeTarget, Problem, ProcessType, Ready,
    Reload, Restart, Secret, Severity, Signal, Source, Spec, Stop, StopStep, Stream,
};

fn good() -> Spec {
    Spec::new("web", ["nginx"])
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).map(|line| line.replace("process `web`: ", "")).collect()
}

fn said(spec: Spec) -> Vec<String> {
    lines(&spec.validate())
}

fn plan(specs: impl IntoIterator<Item = Spec>) -> Plan {
    let mut plan = Plan::new();
    for spec in specs {
        plan.insert(spec).unwrap();
    }
    plan
}

fn planned(specs: impl IntoIterator<Item = Spec>) -> Vec<String> {
    plan(specs).validate().iter().map(ToString::to_string).collect()
}

fn spec(name: &str) -> Spec {
    Spec::new(name, ["true"])
}

fn http(change: impl FnOnce(&mut HttpProbe)) -> Spec {
    let ProbeTarget::Http(mut probe) = ProbeTarget::http("http://127.0.0.1/") else { unreachable!() };
    change(&mut probe);
    good().health(Health::new(ProbeTarget::Http(probe)))
}

#[test]
fn a_full_and_sensible_spec_has_no_problem() {
    let spec = good()
        .description("the web")
        .env("A", "1")
        .secret_env("B", Secret::new("x"))
        .env_file("-web.env")
        .user("www-data")
        .group("33")
        .groups(["adm"])
        .rlimit_pair("nofile", Some(1024), None)
        .ambient_capability("net_bind_service")
        .bounding_capabilities(["net_bind_service", "kill"])
        .conditions(Conditions { path_exists: vec!["|!/x".into()], env: vec!["A=".into()], ..Conditions::default() })
        .ready(Ready::logline("ready (now|soon)"))
        .health(Health::new(ProbeTarget::http("unix:/run/web.sock:/health")))
        .restart(Restart::always().delay(Duration::from_secs(120)))
        .before_start(Hook::command(["nginx", "-t"]))
        .after_stop(Hook::function(FunctionId(1)))
        .reload(Reload::Signal(Signal::HUP))
        .runtime_directory("web")
        .pidfile("/run/web.pid")
        .watchdog(Duration::from_secs(5));
    assert_eq!(said(spec), Vec::<String>::new());
}

#[test]
fn commands_and_environment_hold_what_the_kernel_takes() {
    let nul = "holds a NUL byte, which the kernel takes for its end";
    let cases = [
        (Spec::new("web", [""; 0]), "command: is empty; it needs at least a program".to_owned()),
        (Spec::new("web", ["", "x"]), "command[1]: the program's name is empty".into()),
        (good().arg("a\0b"), format!("command[2]: {nul}")),
        (good().arg("x".repeat(131_072)), "command[2]: is longer than the 131071 bytes that the kernel takes".into()),
        (good().env("", "1"), "env[\"\"]: a variable's name is not empty and holds neither `=` nor a NUL byte".into()),
        (
            good().env("A=B", "1"),
            "env[\"A=B\"]: a variable's name is not empty and holds neither `=` nor a NUL byte".into(),
        ),
        (good().env("A", "\0"), format!("env.A: {nul}")),
        (good().secret_env("A", Secret::new("\0")), format!("env.A: {nul}")),
        (
            good().env("A", "1").secret_env("A", Secret::new("2")),
            "env.A: is given twice, as a secret and in the open".into(),
        ),
        (good().env_file("-"), "env_file: the path is empty".into()),
        (good().env_file("a").env_file(""), "env_file[2]: the path is empty".into()),
        (good().working_dir(""), "working_dir: the path is empty".into()),
        (good().working_dir("/a\0"), format!("working_dir: {nul}")),
        (good().pidfile(""), "pidfile: the path is empty".into()),
        (
            good().runtime_directory("../x"),
            "runtime_directory: \"../x\" leaves the runtime directory; give a name below it".into(),
        ),
        (
            good().runtime_directory("/x"),
            "runtime_directory: \"/x\" leaves the runtime directory; give a name below it".into(),
        ),
        (good().condition_path_exists("!"), "conditions.path_exists: \"!\" names nothing to look at".into()),
        (good().description("a\nb"), "description: must be a single line of plain text".into()),
        (good().stdout(Stream::File(String::new())), "log.stdout: the path is empty".into()),
    ];
    for (spec, message) in cases {
        assert_eq!(said(spec), [message]);
    }
}

#[test]
fn names_and_accounts_are_checked_before_anything_is_asked_of_the_system() {
    let name = Spec::new("a b", ["x"]).validate();
    assert_eq!(
        lines(&name),
        ["process `a b`: \"a b\" cannot be a name: a name is letters, digits, `_`, `.`, `@` and `-`, begins with a \
          letter, a digit or `_`, and has at most 128 characters"]
    );
    let expected = "expected a user or group by name, or by number below 4294967295, found";
    let rule = "a name begins with a letter or `_`, then letters, digits, `_`, `.`, `@` and `-`";
    assert_eq!(said(good().user("")), [format!("user: {expected} \"\"")]);
    assert_eq!(said(good().user("4294967295")), [format!("user: {expected} \"4294967295\"")]);
    assert_eq!(said(good().user("-1")), [format!("user: {expected} \"-1\": {rule}")]);
    assert_eq!(said(good().group("0x10")), [format!("group: {expected} \"0x10\": {rule}")]);
    assert_eq!(said(good().groups(["adm", "0day"])), [format!("groups[2]: {expected} \"0day\": {rule}")]);
    let mut hook = Hook::command(["x"]);
    hook.user = Some("-1".into());
    assert_eq!(said(good().after_start(hook)), [format!("hooks.after_start.user: {expected} \"-1\": {rule}")]);
}

#[test]
fn rights_and_limits_are_in_their_ranges() {
    let limits = |limits: Limits| good().limits(limits);
    let none = Limits::default;
    let cases = [
        (good().umask(0o1777), "umask: is at most 0777"),
        (good().nice(20), "nice: is from -20 to 19"),
        (good().ambient_capability("net_bind"), "ambient_capabilities[1]: \"net_bind\" is not a capability"),
        (
            good().bounding_capabilities(["sys_admn"]),
            "bounding_capabilities[1]: \"sys_admn\" is not a capability; did you mean \"sys_admin\"?",
        ),
        (
            good().ambient_capability("kill").bounding_capabilities(["chown"]),
            "ambient_capabilities: \"kill\" is not among bounding_capabilities, so it cannot be kept",
        ),
        (good().rlimit("nofiles", 1), "rlimits.nofiles: \"nofiles\" is not a resource limit; did you mean \"nofile\"?"),
        (good().rlimit("zzz", 1), "rlimits.zzz: \"zzz\" is not a resource limit"),
        (good().rlimit_pair("core", Some(2), Some(1)), "rlimits.core: the soft limit is above the hard one"),
        (good().rlimit_pair("core", None, Some(1)), "rlimits.core: the soft limit is above the hard one"),
        (limits(Limits { cpu_weight: Some(0), ..none() }), "limits.cpu_weight: is from 1 to 10000"),
        (limits(Limits { io_weight: Some(10_001), ..none() }), "limits.io_weight: is from 1 to 10000"),
        (limits(Limits { memory: Some(0), ..none() }), "limits.memory: must be more than 0"),
        (limits(Limits { pids: Some(0), ..none() }), "limits.pids: must be more than 0"),
        (limits(Limits { oom_score_adj: Some(1_001), ..none() }), "limits.oom_score_adj: is from -1000 to 1000"),
        (
            limits(Limits { memory: Some(1 << 20), memory_high: Some(2 << 20), ..none() }),
            "limits.memory_high: is above limits.memory (1MiB)",
        ),
    ];
    for (spec, message) in cases {
        assert_eq!(said(spec), [message]);
    }
}

#[test]
fn readiness_and_health_can_be_met() {
    let regex = said(good().ready(Ready::logline("(")));
    assert_eq!(regex, ["ready.pattern: \"(\" is not a regular expression: unclosed group"]);
    let bomb = said(good().ready(Ready::logline("(a{1000}){1000}")));
    assert_eq!(bomb, ["ready.pattern: \"(a{1000}){1000}\" is not a regular expression: it is too large"]);
    let deaf = said(good().ready(Ready::logline("x")).stdout(Stream::Inherit).stderr(Stream::Null));
    let message = "waits for a line, and none of its output is read: set `log.stdout` or `log.stderr` to \"capture\"";
    assert_eq!(deaf, [format!("warning: ready: {message}")]);
    assert!(said(good().ready(Ready::logline("x")).stdout(Stream::Inherit)).is_empty());
    let url = "expected `http://host:port/path` or `unix:/path/to.sock:/path`, found \"localhost\"";
    let zero = Some(Duration::ZERO);
    let tcp = |host: &str, port| ProbeTarget::Tcp { host: host.into(), port };
    let paced = |interval, timeout| good().ready(Ready::Probe(Probe { target: tcp("a", 1), interval, timeout }));
    let health = |change: fn(&mut Health)| {
        let mut health = Health::new(tcp("a", 1));
        change(&mut health);
        good().health(health)
    };
    let cases = [
        (good().ready(Ready::Health), "ready: is by health, but there is no `health` check".to_owned()),
        (
            good().oneshot().ready(Ready::tcp(80)),
            "ready: a oneshot is ready when it ended with success, and by nothing else".into(),
        ),
        (good().ready(Ready::tcp(0)), "ready.port: a port is a number from 1 to 65535".into()),
        (good().ready(Ready::exec([""; 0])), "ready.command: is empty; it needs at least a program".into()),
        (good().ready(Ready::http("localhost")), format!("ready.url: {url}")),
        (paced(zero, None), "ready.interval: must be longer than 0".into()),
        (paced(None, zero), "ready.timeout: must be longer than 0".into()),
        (health(|h| h.interval = Duration::ZERO), "health.interval: must be longer than 0".into()),
        (health(|h| h.timeout = Duration::ZERO), "health.timeout: must be longer than 0".into()),
        (health(|h| h.retries = 0), "health.retries: must be more than 0".into()),
        (health(|h| h.successes = 0), "health.successes: must be more than 0".into()),
        (good().health(Health::new(tcp("a b", 1))), "health.host: \"a b\" is not a host".into()),
        (http(|h| h.method = "GET IT".into()), "health.method: \"GET IT\" is not an HTTP method".into()),
        (
            http(|h| h.expected_status = vec![]),
            "health.expected_status: is empty, so no answer could be a success".into(),
        ),
        (http(|h| h.expected_status = vec![(0, 9)]), "health.expected_status: status codes are from 100 to 599".into()),
        (
            http(|h| h.headers = vec![("A".into(), "b\r\nC: d".into())]),
            "health.headers: \"A\" with \"b\\r\\nC: d\" is not an HTTP header".into(),
        ),
        (good().remain(true), "warning: remain: means something for a oneshot only".into()),
    ];
    for (spec, message) in cases {
        let line = said(spec.clone());
        assert_eq!(line.iter().map(|l| l.replace("warning: web", "")).collect::<Vec<_>>(), [message], "{spec:?}");
    }
}

#[test]
fn ends_and_restarts_make_sense() {
    let ladder = |steps: usize| {
        let step = StopStep { signal: Signal::TERM, wait: Duration::ZERO };
        good().stop(Stop { sequence: vec![step; steps], ..Stop::default() })
    };
    let always =
        "restart.policy: a oneshot that is restarted always is never done; use \"on-failure\", or the type \"simple\"";
    let cases = [
        (good().oneshot().restart(Restart::always()), always),
        (good().restart(Restart::always().factor(0.5)), "restart.factor: is from 1 to 1000, not 0.5"),
        (good().restart(Restart::always().factor(f64::NAN)), "restart.factor: is from 1 to 1000, not NaN"),
        (good().restart(Restart::always().factor(1e9)), "restart.factor: is from 1 to 1000, not 1000000000"),
        (good().restart(Restart::always().jitter(1.5)), "restart.jitter: is a share from 0 to 1, not 1.5"),
        (
            good().restart(Restart::always().delay(Duration::from_secs(9)).max_delay(Duration::from_secs(3))),
            "restart.delay: is longer (9s) than restart.max_delay (3s)",
        ),
        (
            good().restart(Restart::always().limit(3, Duration::ZERO)),
            "restart.limit.interval: must be longer than 0; a burst of 0 sets no limit",
        ),
        (
            Spec { success_exit_status: vec![0, 256], ..good() },
            "success_exit_status: an exit code is from 0 to 255, not 256",
        ),
        (ladder(0), "stop.sequence: is empty; it needs at least one signal and its wait"),
        (ladder(33), "stop.sequence: has more than 32 steps"),
        (
            good().stop(Stop { command: Some(vec![]), ..Stop::default() }),
            "stop.command: is empty; it needs at least a program",
        ),
        (good().start_timeout(Duration::ZERO), "start_timeout: must be longer than 0; \"infinity\" waits for ever"),
        (
            good().reload(Reload::Signal(Signal::KILL)),
            "reload.signal: SIGKILL cannot be caught, so it cannot ask for anything",
        ),
        (good().reload(Reload::Command(vec![])), "reload.command: is empty; it needs at least a program"),
        (good().before_start(Hook::command([""; 0])), "hooks.before_start: is empty; it needs at least a program"),
        (
            good().on_failure(Hook::command(["a"])).on_failure(Hook::command(["b"]).timeout(Duration::ZERO)),
            "hooks.on_failure[2].timeout: must be longer than 0",
        ),
        (good().watchdog(Duration::ZERO), "watchdog: must be longer than 0"),
    ];
    for (spec, message) in cases {
        assert_eq!(said(spec), [message]);
    }
    let endless = good().critical(true).restart(Restart::always().limit(0, Duration::ZERO)).validate();
    assert_eq!(
        endless[0].to_string(),
        "warning: process `web`: critical: never acts: restarted always and without a limit, this process never ends \
         for good"
    );
}

#[test]
fn logs_are_checked() {
    let log = |change: fn(&mut crate::spec::LogSettings)| {
        let mut spec = good();
        change(&mut spec.log);
        spec
    };
    let cases = [
        (log(|l| l.ring = u64::MAX), "log.ring: is at most 1GiB"),
        (log(|l| l.max_size = 0), "log.max_size: must be more than 0"),
        (log(|l| l.keep = 10_001), "log.keep: is at most 10000"),
        (log(|l| l.file = Some(String::new())), "log.file: the path is empty"),
    ];
    for (spec, message) in cases {
        assert_eq!(said(spec), [message]);
    }
    let unseen = log(|l| {
        l.file = Some("x".into());
        l.stdout = Stream::Null;
        l.stderr = Stream::Null;
    });
    let why = "log.file: stays empty: only captured output is written to it, and neither stream is captured";
    assert_eq!(unseen.validate()[0].to_string(), format!("warning: process `web`: {why}"));
}

#[test]
fn limits_that_a_program_can_run_in_are_nothing_to_warn_of() {
    let spec = good().limits(Limits { memory: Some(1 << 20), oom_score_adj: Some(5), ..Limits::default() });
    assert_eq!(spec.validate(), []);
}

#[test]
fn every_problem_is_told_and_stands_where_its_key_stands() {
    let mut source = Source { file: Some("neap.lua".into()), line: Some(3), ..Source::default() };
    source.fields.insert("restart".into(), 7);
    source.fields.insert("restart.jitter".into(), 8);
    source.fields.insert("command".into(), 4);
    source.notes.push(("command".into(), "is odd".into()));
    let spec = good().arg("\0").nice(99).restart(Restart::always().jitter(2.0).factor(0.0)).source(source);
    let said: Vec<String> = plan([spec]).validate().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "neap.lua:3: process `web`: nice: is from -20 to 19",
            "neap.lua:4: warning: process `web`: command: is odd",
            "neap.lua:4: process `web`: command[2]: holds a NUL byte, which the kernel takes for its end",
            "neap.lua:7: process `web`: restart.factor: is from 1 to 1000, not 0",
            "neap.lua:8: process `web`: restart.jitter: is a share from 0 to 1, not 2",
        ]
    );
}

#[test]
fn unknown_names_are_errors_where_a_start_depends_on_them_and_warnings_elsewhere() {
    let specs = [
        spec("database"),
        spec("a").requires("databse"),
        spec("b").binds_to("database").binds_to("x"),
        spec("c").part_of("nothing"),
        spec("d").follows("nothing"),
        spec("e").wants("nothing").conflicts("nothing").after("nothing").before("Database"),
    ];
    assert_eq!(
        planned(specs),
        [
            "process `a`: requires: there is no process \"databse\"; did you mean `database`?",
            "process `b`: binds_to[2]: there is no process \"x\"",
            "process `c`: part_of: there is no process \"nothing\"",
            "process `d`: follows: there is no process \"nothing\"",
            "warning: process `e`: wants: there is no process \"nothing\"",
            "warning: process `e`: conflicts: there is no process \"nothing\"",
            "warning: process `e`: after: there is no process \"nothing\"",
            "warning: process `e`: before: there is no process \"Database\"; did you mean `database`?",
        ]
    );
    let known = plan([spec("a").requires("made_at_run_time")]);
    assert_eq!(known.validate_among(|name| name == "made_at_run_time"), []);
    assert_eq!(check_relations(known.specs(), |_| true), []);
}

#[test]
fn contradictions_between_processes_are_refused() {
    let by_themselves =
        "process `a`: conflicts: this and `b` both start by themselves; switch `auto_start` off for one of them";
    assert_eq!(planned([spec("a").conflicts("b"), spec("b")]), [by_themselves]);
    assert_eq!(planned([spec("a").conflicts("b"), spec("b").conflicts("a")]), [by_themselves]);
    assert_eq!(planned([spec("a").conflicts("b"), spec("b").auto_start(false)]), Vec::<String>::new());
    assert_eq!(
        planned([spec("a").conflicts("b").requires("b"), spec("b").auto_start(false)]),
        ["process `a`: conflicts: `b` is also in `requires`, so this could never start"]
    );
    assert_eq!(
        planned([spec("a").conflicts("b"), spec("b").binds_to("a").auto_start(false)]),
        ["process `a`: conflicts: `b` has this process in `binds_to`, so `b` could never start"]
    );
    assert_eq!(
        planned([spec("a").binds_to("b"), spec("b").process_type(ProcessType::Oneshot)]),
        ["process `a`: binds_to: `b` is a oneshot that is never running, so this would be stopped at once; \
          use `requires`, or give `b` remain = true"]
    );
    assert_eq!(planned([spec("a").binds_to("b"), spec("b").oneshot().remain(true)]), Vec::<String>::new());
    assert_eq!(
        planned([spec("a").requires("a").after("b").after("a"), spec("b")]),
        ["process `a`: requires: names the process itself", "process `a`: after[2]: names the process itself"]
    );
}

#[test]
fn cycles_of_order_are_printed_all_the_way_round() {
    assert_eq!(
        planned([spec("a").requires("b"), spec("b").after("c"), spec("c").after("d"), spec("d").follows("a")]),
        ["process `a`: waits for itself: a -> b -> c -> d -> a \
          (`a` requires `b`, `b` is after `c`, `c` is after `d`, `d` follows `a`)"]
    );
    assert_eq!(
        planned([spec("a").before("b"), spec("b").before("a"), spec("x").binds_to("y"), spec("y").binds_to("x")]),
        [
            "process `a`: waits for itself: a -> b -> a (`b` is before `a`, `a` is before `b`)",
            "process `x`: waits for itself: x -> y -> x (`x` binds to `y`, `y` binds to `x`)",
        ]
    );
    assert_eq!(planned([spec("a").requires("b"), spec("b").requires("a").before("a")]), Vec::<String>::new());
    let ring = (0..60).map(|n| spec(&format!("p{n:02}")).after(format!("p{:02}", (n + 1) % 60)));
    let message = planned(ring).remove(0);
    assert!(message.starts_with("process `p00`: waits for itself: p00 -> p01 -> p02"), "{message}");
    assert!(message.contains("p49 -> … (11 more) (`p00` is after `p01`"), "{message}");
    assert!(message.ends_with(", `p49` is after `p50`, … (10 more))"), "{message}");
}

#[test]
fn a_hundred_thousand_processes_are_checked_without_trouble() {
    let specs: Vec<Spec> = (0..100_000)
        .map(|n| match n {
            0 => spec("p0"),
            _ => spec(&format!("p{n}")).requires(format!("p{}", n - 1)).wants("gone"),
        })
        .collect();
    let problems = check_relations(&specs, |_| false);
    assert_eq!(problems.len(), 99_999);
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning));
}
