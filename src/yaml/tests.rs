//! Forms, older names and bounds.

use super::*;
use crate::spec::{ListenAddress, Plan, ProbeTarget, Problem, RestartPolicy, Spec, StopMode, Value};

fn text(text: &str) -> Text<'_> {
    Text { file: "web.yaml", text, name: Some("web") }
}

fn specs(source: &Text) -> Result<Vec<Spec>, Vec<Problem>> {
    join(vec![read(source)?])?.iter().map(Definition::spec).collect()
}

fn one(source: &str) -> Spec {
    let mut specs = specs(&text(source)).unwrap_or_else(|problems| panic!("{}", shown(&problems)));
    assert_eq!(specs.len(), 1);
    specs.remove(0)
}

fn refused(source: &str) -> String {
    let problems = match specs(&text(source)) {
        Err(problems) => problems,
        Ok(specs) => {
            let mut plan = Plan::new();
            specs.into_iter().for_each(|spec| plan.insert(spec).unwrap());
            plan.validate()
        }
    };
    shown(&problems)
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn a_file_is_one_process_called_as_the_file() {
    let spec = one("# The shop.\ncommand: nginx -g 'daemon off;'\nrestart_policy: ALWAYS\nrestart_sec: 2\n");
    assert_eq!(spec.name, "web");
    assert_eq!(spec.command, ["nginx", "-g", "daemon off;"]);
    assert_eq!(spec.restart.policy, RestartPolicy::Always);
    assert_eq!(spec.restart.delay.as_secs(), 2);
    assert!(!spec.auto_start, "YAML has the older system's defaults");
    assert_eq!(spec.working_dir.as_deref(), Some("/"));
}

#[test]
fn each_form_is_told_by_its_keys_or_its_name() {
    let form = |name, source| {
        let read = read(&Text { file: "x.yaml", text: source, name });
        read.map(|document| (document.form, document.processes.len(), document.sockets.len(), document.enabled))
            .map_err(|problems| shown(&problems))
    };
    assert_eq!(form(Some("web"), "command: a"), Ok((Form::Process, 1, 0, true)));
    assert_eq!(form(Some("web"), "processes: {a: {command: a}, b: {command: b}}"), Ok((Form::Several, 2, 0, true)));
    assert_eq!(form(None, "sockets: {a: {listen_stream: 80}}"), Ok((Form::Several, 0, 1, true)));
    assert_eq!(form(Some("web.socket"), "tcp: 80"), Ok((Form::Socket, 0, 1, true)));
    assert_eq!(form(Some("web"), "listen_stream: 80\nservice: b"), Ok((Form::Socket, 0, 1, true)));
    let agent = "api_key: a\nprocess_manager: {managed_processes: {a: {command: a}}, sockets: {a: {tcp: 80}}}";
    assert_eq!(form(Some("datadog"), agent), Ok((Form::Datadog, 1, 1, true)));
    assert_eq!(form(Some("datadog"), "api_key: a\nsite: b"), Ok((Form::Datadog, 0, 0, true)));
    assert_eq!(form(Some("datadog"), "command: a"), Ok((Form::Process, 1, 0, true)));
    assert_eq!(form(Some("datadog"), "process_manager: {}"), Ok((Form::Datadog, 0, 0, true)));
    assert_eq!(form(None, "command: a"), Err("x.yaml:1: expected `processes:` with the processes below it\n".into()));
}

#[test]
fn what_is_switched_off_is_told_by_its_line_and_defines_nothing() {
    let off = "site: a\nprocess_manager:\n  enabled: false\n  managed_processes:\n    a: {comand: 5}\n  wrong: 1\n";
    let document = read(&Text { file: "datadog.yaml", text: off, name: Some("datadog") }).unwrap();
    assert!(!document.enabled);
    assert_eq!(document.enabled_line, 3);
    assert_eq!(document.processes.len(), 1);
    assert!(join(vec![document]).unwrap().is_empty());
}

#[test]
fn a_definition_has_the_comment_above_it_and_the_lines_of_its_keys() {
    let source = "# Not its own.\n\n# The shop,\n#   its front.\nprocesses: # all\n  # Web.\n  web:\n    # What.\n    command: nginx\n\
                  \n    stop:\n      timeout: 5\n  # Far.\n\n  db: { command: postgres }\n";
    let document = read(&text(source)).unwrap();
    let [web, db] = &document.processes[..] else { panic!("two processes") };
    assert_eq!((web.line, web.comments.as_slice()), (7, &[" Web.".to_owned()][..]));
    assert_eq!((db.line, db.comments.len()), (15, 0));
    let Value::Map(entries) = &web.node.value else { panic!("a table") };
    let lines: Vec<(&str, u32)> = entries.iter().map(|(key, node)| (key.as_str(), node.position.line)).collect();
    assert_eq!(lines, [("command", 9), ("stop", 11)]);
    let alone = read(&text("# The shop,\n#   its front.\ncommand: nginx\n")).unwrap();
    assert_eq!(alone.processes[0].comments, [" The shop,", "   its front."]);
    assert_eq!(alone.processes[0].line, 3);
}

#[test]
fn words_of_a_command_and_variables_are_what_was_written() {
    let spec = one("command: [server, 1.10, 0x1F, yes, 010, 1e3, true]\nargs: [-p, 8_080]\n\
                    env: {VERSION: 1.10, BIG: 123456789012345678901234567890, ON: on, T: True, Q: \"1.0\", INF: .inf}\n");
    assert_eq!(spec.command, ["server", "1.10", "0x1F", "yes", "010", "1e3", "true", "-p", "8_080"]);
    let env: Vec<(&str, &str)> = spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("BIG", "123456789012345678901234567890"),
        ("INF", ".inf"),
        ("ON", "on"),
        ("Q", "1.0"),
        ("T", "True"),
        ("VERSION", "1.10"),
    ];
    assert_eq!(env, expected);
}

#[test]
fn a_mode_is_octal_whichever_way_it_is_written_but_as_a_plain_number() {
    for written in ["0027", "\"0027\"", "\"27\"", "027", "0o27"] {
        assert_eq!(one(&format!("command: a\numask: {written}\n")).umask, Some(0o27), "{written}");
    }
    let told = refused("command: a\numask: 27\n");
    assert_eq!(
        told,
        "web.yaml:2: process `web`: umask: expected an octal mode as text such as \"0660\", found 27: write \"0027\"\n"
    );
}

#[test]
fn older_limits_are_kubernetes_quantities_or_thousandths() {
    let limits =
        one("command: a\nresources: {requests: {cpu: 0.25, memory: 64Mi}, limits: {cpu: 2, memory: 1G, pids: 5}}\n")
            .limits;
    assert_eq!((limits.cpu_weight, limits.memory_low), (Some(25), Some(64 << 20)));
    assert_eq!((limits.cpu_millis, limits.memory, limits.pids), (Some(2_000), Some(1 << 30), Some(5)));
    let limits = one(
        "command: a\nresource_limits: {cpu_request: 5, cpu_limit: \"750\", memory_limit: 1048576, pids_limit: 0}\n",
    )
    .limits;
    assert_eq!((limits.cpu_weight, limits.cpu_millis), (Some(1), Some(750)));
    assert_eq!((limits.memory, limits.pids), (Some(1 << 20), None));
    // What is given apart in both words goes together.
    let limits = one("command: a\nresources: {limits: {pids: 5}}\nlimits: {memory: 1M}\n").limits;
    assert_eq!((limits.memory, limits.pids), (Some(1 << 20), Some(5)));
}

#[test]
fn an_older_health_check_is_a_probe() {
    let health = |keys: &str| one(&format!("command: a\nhealth_check: {{{keys}}}\n")).health.expect("a health check");
    let http = health("type: HTTP, endpoint: 'http://localhost:8126/info', expected_status: 204, retries: 2");
    let ProbeTarget::Http(probe) = http.target else { panic!("http") };
    assert_eq!((probe.url.as_str(), probe.method.as_str()), ("http://localhost:8126/info", "GET"));
    assert_eq!(probe.expected_status, [(204, 204)]);
    assert_eq!((http.retries, http.interval.as_secs(), http.timeout.as_secs()), (2, 30, 5));
    assert_eq!(health("type: tcp, port: 80").target, ProbeTarget::Tcp { host: "127.0.0.1".into(), port: 80 });
    let exec = |words: [&str; 3]| ProbeTarget::Exec(words.map(str::to_owned).to_vec());
    assert_eq!(health("type: exec, command: check a b").target, exec(["check", "a", "b"]));
    assert_eq!(health("command: check a, args: [1.0, b c]").target, exec(["check a", "1.0", "b c"]));
}

#[test]
fn older_restarts_and_stops_go_together_with_ours() {
    let spec = one(
        "command: a\nrestart: always\nrestart_sec: 3\nstop: {mode: process}\ntimeout_stop_sec: 1m\nkill_signal: 2\n",
    );
    assert_eq!((spec.restart.policy, spec.restart.delay.as_secs()), (RestartPolicy::Always, 3));
    assert_eq!(spec.stop.mode, StopMode::Process);
    assert_eq!((spec.stop.sequence[0].wait.as_secs(), spec.stop.sequence[0].signal.number()), (60, 2));
    assert_eq!(one("command: a\ntimeout_start_sec: 0\n").start_timeout, None);
    assert_eq!(one("command: a\ntimeout_start_sec: 9\n").start_timeout.map(|t| t.as_secs()), Some(9));
    // Nothing behind a key is nothing given.
    assert_eq!(
        one("command: a\nrestart_policy:\nrestart: always\nresources: ~\nhealth_check:\nsocket:\n").health,
        None
    );
}

#[test]
fn exit_codes_may_be_one_text_as_systemd_has_them() {
    for written in ["\"0,3\"", "0,3", "0 3", "\" 3, 0 \"", "[0, \"3\"]", "3"] {
        let spec = one(&format!("command: a\nsuccess_exit_status: {written}\n"));
        assert_eq!(spec.success_exit_status, [0, 3], "{written}");
    }
    let spec = one("command: a\nsuccess_exit_status: 75 SIGHUP,TERM\n");
    assert_eq!((spec.success_exit_status.as_slice(), spec.success_signals.len()), (&[0, 75][..], 2));
    let told = refused("command: a\nsuccess_exit_status: 0,300\n");
    assert_eq!(
        told,
        "web.yaml:2: process `web`: success_exit_status[2]: expected an exit code from 0 to 255, found \"300\"\n"
    );
    assert!(refused("command: a\nsuccess_exit_status: \",\"\n").contains("success_exit_status: expected a signal"));
}

#[test]
fn a_limit_that_is_surely_meant_in_another_unit_is_a_warning_with_its_line() {
    let told = |keys: &str| refused(&format!("command: a\n{keys}\n"));
    let warned = "web.yaml:2: warning: process `web`: ";
    assert_eq!(
        told("resource_limits: {cpu_limit: 2}"),
        format!("{warned}resource_limits.cpu_limit: is 2/1000 of a core; write 2000 or 2000m for 2 cores\n")
    );
    assert!(told("resource_limits: {cpu_limit: \"1\"}").contains("write 1000 or 1000m for one core"));
    assert_eq!(
        told("resource_limits: {memory_limit: 512}"),
        format!(
            "{warned}resource_limits.memory_limit: is 512 bytes, in which no program can run; write \"512MiB\" for 512 MiB\n"
        )
    );
    assert_eq!(
        told("limits: {memory_high: 512K}"),
        format!("{warned}limits.memory_high: is 524288 bytes, in which no program can run\n")
    );
    for fine in
        ["resource_limits: {cpu_limit: 10, memory_limit: 1048576, cpu_request: 2}", "resource_limits: {cpu_limit: 5m}"]
    {
        assert_eq!(told(fine), "", "{fine}");
    }
}

#[test]
fn a_message_about_two_keys_calls_both_as_they_were_written() {
    let told = |keys: &str| refused(&format!("command: a\n{keys}\n"));
    let of = |line: u32, said: &str| format!("web.yaml:{line}: process `web`: {said}\n");
    assert_eq!(
        told("restart_max_delay: 0.5"),
        of(2, "restart_max_delay: is shorter (500ms) than restart.delay, which is 1s unless it is given")
    );
    assert_eq!(
        told("restart_sec: 5\nrestart_max_delay: 2"),
        of(2, "restart_sec: is longer (5s) than restart_max_delay (2s)")
    );
    assert_eq!(
        told("restart: {delay: 5, max_delay: 2}"),
        of(2, "restart.delay: is longer (5s) than restart.max_delay (2s)")
    );
    assert_eq!(
        told("start_limit_burst: 3\nstart_limit_interval: 0"),
        of(3, "start_limit_interval: must be longer than 0; a start_limit_burst of 0 sets no limit")
    );
    assert_eq!(
        told("resources:\n  requests: {memory: 8M}\n  limits: {memory: 4M}"),
        of(3, "resources.requests.memory: is above resources.limits.memory (4MiB)")
    );
    assert_eq!(
        told("timeout_stop_sec: 5\nstop: {sequence: [[TERM, 5s]]}"),
        of(3, "stop.sequence: each step has its signal and its wait, so `timeout_stop_sec` cannot go with it")
    );
}

/// What the Agent's file says that gives a process these keys, from another key's value.
fn agents(value: &str, keys: &str) -> String {
    let text = format!(
        "api_key: &k {value}\nbase: &base {}\nprocess_manager:\n  managed_processes:\n    other: {{command: a}}\n    web:\n      {keys}\n",
        keys.replace("*k", value)
    );
    told_of_agents(&text) + &told_of_agents(&text.replace(&format!("      {keys}"), "      <<: *base"))
}

fn told_of_agents(text: &str) -> String {
    let definitions =
        match read(&Text { file: "datadog.yaml", text, name: Some("datadog") }).and_then(|it| join(vec![it])) {
            Ok(definitions) => definitions,
            Err(problems) => return shown(&problems),
        };
    let mut plan = Plan::new();
    let mut told = String::new();
    for definition in definitions {
        match definition.spec() {
            Ok(spec) => plan.insert(spec).unwrap(),
            Err(problems) => told += &shown(&problems),
        }
    }
    let env = std::collections::BTreeMap::new();
    let surroundings = crate::driver::known::Surroundings { base: std::path::Path::new("/"), env: &env };
    told + &shown(&plan.validate()) + &shown(&crate::driver::known::lacking(&plan, surroundings))
}

#[test]
fn a_value_from_another_key_of_the_agents_file_is_told_by_its_line_and_never_shown() {
    assert_eq!(
        agents("S3CRET", "{command: a, timeout_stop_sec: *k}").lines().next().unwrap(),
        "datadog.yaml:7: process `web`: timeout_stop_sec: expected a duration (seconds, or text such as \"1h30m\", \"10s\" or \
         \"250ms\"); the value is from line 1, \
         below another key than ours, so it is not shown"
    );
    let tops = crate::spec::schema::SPEC.keys().map(|key| key.name);
    let older = crate::spec::schema::OLDER_NAMES.iter().map(|(name, _)| *name);
    let mut all: Vec<String> = tops.chain(older).map(|key| format!("{key}: *k")).collect();
    all.extend(all.clone().into_iter().map(|key| key.replace("*k", "[*k, *k]")));
    all.extend(
        [
            "restart: {policy: *k}",
            "restart: {limit: {interval: *k}}",
            "restart_sec: 99999999, restart_max_delay: *k",
            "restart_sec: *k, restart_max_delay: 0.1",
            "limits: {cpu: *k}",
            "limits: {memory: *k, memory_low: 1G}",
            "resource_limits: {cpu_limit: *k, cpu_request: *k, memory_limit: *k, pids_limit: *k}",
            "resources: {requests: {cpu: *k}, limits: {cpu: *k}, oom_score_adj: *k}",
            "health: {type: http, url: *k, method: *k, headers: {a: *k}}",
            "health: {type: *k}",
            "health_check: {type: http, endpoint: *k, interval: *k, http_status: *k}",
            "health_check: {type: tcp, host: *k, port: *k}",
            "health_check: {type: exec, command: *k, args: *k}",
            "ready: {type: logline, pattern: *k}",
            "hooks: {before_start: *k, after_stop: {command: *k, user: *k}}",
            "stop: {signal: *k, mode: *k, sequence: [[*k, *k]]}",
            "reload: {signal: *k}",
            "conditions: {path_exists: *k, file_not_empty: [*k]}",
            "env: {A: [*k], B: *k, LONG: {x: *k}}",
            "rlimits: {nofile: *k}",
            "listen: {tcp: *k}",
            "listen: {unix: '/run/x', mode: *k, user: *k, fd_env: *k}",
            "listen: [{tcp: *k}, {tcp: *k}]",
            "socket: {listen_stream: *k, service: *k}",
            "socket: [{listen_unix: *k}, {listen_datagram: *k, socket_mode: *k}]",
            "socket: *k",
            "log: {file: *k, ring: *k, stdout: *k}",
            "user: *k",
        ]
        .map(str::to_owned),
    );
    for key in &all {
        for (value, secret) in [
            ("S3CRET", "S3CRET"),
            ("\"S3CRET 'x [\"", "S3CRET"),
            ("\"/S3CRET\\0\"", "S3CRET"),
            ("8675309", "8675309"),
            ("-8675.309", "8675"),
            ("!S3CRET [x]", "S3CRET"),
            ("{S3CRET: 8675309}", "8675309"),
        ] {
            // What is not about `command` needs one.
            let keys = if key.starts_with("command") { format!("{{{key}}}") } else { format!("{{command: a, {key}}}") };
            let told = agents(value, &keys);
            let keyless = told.replace("[\"S3CRET\"]", "").replace(".S3CRET:", "").replace("S3CRET: there is no", "");
            assert!(!keyless.contains(secret), "{keys} with {value}:\n{told}");
        }
    }
    for sockets in [
        "web: {listen_stream: *k}",
        "web: {listen_stream: 80, service: *k}",
        "web: {listen_unix: '/x', socket_mode: *k}",
    ] {
        let text = format!(
            "api_key: &k S3CRET\nprocess_manager:\n  managed_processes: {{web: {{command: a}}}}\n  sockets: {{{sockets}}}\n  enabled: *k\n"
        );
        for text in [text.replace("  enabled: *k\n", ""), text] {
            let told = told_of_agents(&text);
            assert!(told.contains("from line 1") && !told.contains("S3CRET"), "{told}");
        }
    }
    // What is ours is shown as ever, also where another key takes it from us.
    let ours = "process_manager:\n  managed_processes: {web: {command: a, timeout_stop_sec: &k soon}}\napi_key: *k\n";
    assert!(told_of_agents(ours).contains("found \"soon\""), "{}", told_of_agents(ours));
}

#[test]
fn a_zero_that_was_not_given_to_the_older_system_is_not_given() {
    let plain = one("command: a\nhealth_check: {type: http, url: 'http://h/'}\n");
    let zeros =
        one("command: a\ntimeout_stop_sec: 0\nrestart_max_delay: 0\nhealth_check: {type: http, url: 'http://h/', \
                     retries: 0, interval: 0, timeout: 0, expected_status: 0}\n");
    assert_eq!((&zeros.stop, &zeros.restart, &zeros.health), (&plain.stop, &plain.restart, &plain.health));
    assert_eq!(one("command: a\ntimeout_stop: 0\n").stop.sequence[0].wait.as_secs(), 90);
    // Our own keys mean what they say.
    assert_eq!(one("command: a\nstop: {timeout: 0}\n").stop.sequence[0].wait.as_secs(), 0);
}

#[test]
fn sockets_are_held_for_the_process_that_they_name() {
    let source = "processes:\n  web: {command: a}\nsockets:\n  web: {listen_stream: 8080}\n  admin:\n    service: web\n    \
                  listen_unix: /run/a.sock\n    socket_mode: 0600\n    fd_env_var: ADMIN\n";
    let spec = one(source);
    let [http, admin] = &spec.listen[..] else { panic!("two listeners") };
    assert_eq!(http.address, ListenAddress::Tcp("127.0.0.1:8080".into()));
    assert_eq!(http.name, None);
    assert_eq!(admin.address, ListenAddress::Unix("/run/a.sock".into()));
    assert_eq!((admin.name.as_deref(), admin.mode, admin.fd_env.as_deref()), (Some("admin"), 0o600, Some("ADMIN")));
    // Two addresses in one socket are two listeners.
    let both = one("command: a\nsocket: {listen_stream: 8080, listen_unix: /run/a.sock}\n");
    let addresses: Vec<String> = both.listen.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(addresses, ["tcp:127.0.0.1:8080", "unix:/run/a.sock"]);
}

#[test]
fn what_is_wrong_with_a_socket_has_the_words_and_the_file_that_it_stands_in() {
    let document = |file, name, source| read(&Text { file, text: source, name: Some(name) }).unwrap();
    let both = |socket| {
        let documents =
            vec![document("web.yaml", "web", "command: a\n"), document("web.socket.yaml", "web.socket", socket)];
        let specs: Result<Vec<Spec>, _> = join(documents).unwrap().iter().map(Definition::spec).collect();
        shown(&specs.map_or_else(|problems| problems, |specs| specs[0].validate()))
    };
    assert_eq!(
        both("listen_stream: 127.0.0.1:8080\nsocket_mode: 660\n"),
        "web.socket.yaml:2: process `web`: socket_mode: expected an octal mode as text such as \"0660\", found 660: write \"0660\"\n"
    );
    assert_eq!(
        both("listen_stream: 127.0.0.1:8080\nbacklog: 5\nsocket_mode: 0600\n"),
        "web.socket.yaml:3: process `web`: socket_mode: is that of a path, and tcp has none\n"
    );
    let wrong = both("service: web\nlisten_stream: 80x\n");
    assert!(wrong.starts_with("web.socket.yaml:2: process `web`: listen_stream: expected an address"), "{wrong}");
    let second = both("listen_stream: [80, 80x]\nlisten_unix: relative\n");
    assert!(second.contains("web.socket.yaml:1: process `web`: listen_stream[2]: expected an address"), "{second}");
    let named = refused("processes:\n  web: {command: a}\nsockets:\n  s:\n    service: web\n    listen_stream: 80x\n");
    assert!(named.starts_with("web.yaml:6: process `web`: sockets.s.listen_stream: expected an address"), "{named}");
}

#[test]
fn what_is_found_wrong_later_has_the_user_s_words_too() {
    let told = refused(
        "command: a\nhealth_check: {type: tcp, port: 80, interval: 0s}\nrestart_sec: 0.5\nresources: {limits: {pids: 5}}\n",
    );
    assert_eq!(told, "web.yaml:2: process `web`: health_check.interval: must be longer than 0\n");
    let told = refused("command: a\nexec_start_pre: [a, '']\nexec_stop_post: ['a | b']\n");
    assert_eq!(
        told,
        "web.yaml:3: warning: process `web`: exec_stop_post[1]: no shell runs this, so `|` is handed over as it stands; \
         quote it if that is meant, else use `shell`\n"
    );
}

#[test]
fn merges_and_aliases_are_written_out_and_what_stands_in_the_table_wins() {
    let source = "x-a: &a {user: a, group: a, env: {A: 1}}\nx-b: &b {user: b, nice: 5}\nprocesses:\n  web:\n    <<: [*b, *a]\n    \
                  group: web\n    command: x\n";
    let spec = one(source);
    assert_eq!((spec.user.as_deref(), spec.group.as_deref(), spec.nice), (Some("b"), Some("web"), Some(5)));
    assert_eq!(spec.env.get("A").map(String::as_str), Some("1"));
    assert_eq!(one("command: x\nuser: &u web\ngroup: *u\n").group.as_deref(), Some("web"));
    assert_eq!(one("command: x\nenv: {&k KEY: 1, OTHER: *k}\n").env.get("OTHER").map(String::as_str), Some("KEY"));
    // In quotes, it is a key like any other.
    assert!(refused("command: x\n\"<<\": {user: a}\n").contains("there is no such key"));
}

#[test]
fn what_aliases_come_to_is_bounded() {
    let mut lists = "x-a: &a [l, l, l, l, l, l, l, l, l, l]\n".to_owned();
    let mut tables = "x-a: &a {A: 1, B: 2, C: 3}\n".to_owned();
    for (from, to) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        lists += &format!(
            "x-{to}: &{to} [*{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}]\n"
        );
        tables += &format!(
            "x-{to}: &{to} {{<<: [*{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}]}}\n"
        );
    }
    let bound = "by this, the file comes to more than 200000 values or 16 MiB of text, its aliases written out; write fewer, or fewer aliases of aliases";
    for source in [
        format!("{lists}processes:\n  web:\n    command: x\n    env_file: *i\n"),
        format!("{tables}processes:\n  web:\n    command: x\n    env: *i\n"),
    ] {
        let line = source.lines().count();
        let told = refused(&source);
        assert!(told.ends_with(&format!("{bound}\n")), "{told}");
        assert!(told.starts_with(&format!("web.yaml:{line}: process `web`: env")), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let long = format!(
        "x-t: &t {}\nx-l: &l [{}]\nprocesses: {{web: {{command: [{}]}}}}\n",
        "x".repeat(100_000),
        "*t, ".repeat(100),
        "*t, ".repeat(300)
    );
    assert!(refused(&long).ends_with(&format!("{bound}\n")));
}

#[test]
fn depth_is_bounded_aliases_included_and_nothing_overflows() {
    let mut chain = "x-0: &a0 [x]\n".to_owned();
    for n in 1..100_000 {
        chain += &format!("x-{n}: &a{n} [*a{}]\n", n - 1);
    }
    assert!(refused(&chain).ends_with("tables and lists are nested deeper than 64 levels here\n"));
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("? ", ""), ("- ", "")] {
        for depth in [65, 200_000] {
            let told = refused(&format!("{}x{}", open.repeat(depth), close.repeat(depth)));
            assert!(
                told.ends_with("tables and lists are nested deeper than 64 levels here\n"),
                "{open} {depth}: {told}"
            );
        }
    }
}

#[test]
fn a_text_beyond_its_bound_is_refused_by_that_bound() {
    let long = "# a comment\n".repeat(400_000);
    assert_eq!(refused(&long), "web.yaml:1: the file has 4800000 bytes; a configuration has at most 4194304\n");
    let problems = decode("web.yaml", long.as_bytes()).unwrap_err();
    assert_eq!(shown(&problems), "web.yaml:1: the file has 4800000 bytes; a configuration has at most 4194304\n");
    let full = format!("{}command: a\n", "# a comment\n".repeat(300_000));
    assert_eq!(one(&full).command, ["a"]);
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    let told = |bytes: &[u8]| shown(&decode("web.yaml", bytes).unwrap_err());
    assert_eq!(told(b"a: 1\nb: \xff\n"), "web.yaml:2: the byte 0xff is not UTF-8; save the file as UTF-8\n");
    assert_eq!(told(b"c\0o\0"), "web.yaml:1: the text is UTF-16 or no text at all; save the file as UTF-8\n");
    assert_eq!(decode("web.yaml", "a: \u{fc}\n".as_bytes()).unwrap(), "a: \u{fc}\n");
}

#[test]
fn null_without_quotes_is_no_stream_and_that_is_said() {
    let told = refused("command: a\nstdout: null\nstderr: ~\n");
    let said = "is nothing without quotes; write \"null\" in quotes to throw its output away";
    assert_eq!(told, format!("web.yaml:2: warning: process `web`: stdout: {said}\n"));
    assert_eq!(refused("command: a\nstdout: \"null\"\n"), "");
}

#[test]
fn many_processes_and_many_problems_are_read_in_time_that_grows_with_the_file() {
    let mut good = "processes:\n".to_owned();
    let mut bad = good.clone();
    for n in 0..20_000 {
        good += &format!("  p{n}: {{command: a}}\n");
        bad += &format!("  p{n}: {{command: a, user: a, user: b}}\n  q{n}: nothing\n");
    }
    assert_eq!(specs(&text(&good)).unwrap().len(), 20_000);
    let problems = read(&text(&bad)).unwrap_err();
    assert!((1_000..=1_001).contains(&problems.len()), "{}", problems.len());
}
