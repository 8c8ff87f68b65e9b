//! What a good configuration comes to.

use std::time::Duration;

use neap::lua::EvaluateRequest;
use neap::spec::{Plan, ProbeTarget, Ready, RestartPolicy, Signal, Spec};

use crate::support::{HANGS, evaluate, text};

/// The plan of a text, with the module at hand.
fn plan(source: &str) -> Plan {
    let source = format!("local neap = require \"neap\" {source}");
    evaluate(text(&source)).expect("the configuration is accepted").declared.plan
}

fn spec<'p>(plan: &'p Plan, name: &str) -> &'p Spec {
    plan.get(name).expect("the process is in the plan")
}

#[test]
fn a_template_gives_its_keys_and_maps_merge_while_lists_replace() {
    let plan = plan(
        r#"
        local app = neap.template {
          user = "app", after = { "a", "b" }, env = { LEVEL = "info", REGION = "eu" },
          restart = { policy = "always", delay = "2s" },
        }
        app "a" { command = { "a" }, after = {} }
        app "b" { command = { "b" }, after = "a", env = { LEVEL = "debug" }, restart = { delay = "5s" } }
        app "c" { command = { "c" }, user = neap.unset, env = { REGION = neap.unset } }
        "#,
    );
    let (a, b, c) = (spec(&plan, "a"), spec(&plan, "b"), spec(&plan, "c"));
    assert!(a.after.is_empty() && a.user.as_deref() == Some("app"));
    assert_eq!(b.after, ["a"]);
    assert_eq!((b.env["LEVEL"].as_str(), b.env["REGION"].as_str()), ("debug", "eu"));
    assert_eq!((b.restart.policy, b.restart.delay), (RestartPolicy::Always, Duration::from_secs(5)));
    assert_eq!(c.after, ["a", "b"]);
    assert!(c.user.is_none() && c.env.len() == 1);
}

#[test]
fn defaults_lie_below_templates_and_templates_extend_each_other() {
    let plan = plan(
        r#"
        neap.defaults { user = "nobody", nice = 5, stop = { timeout = "3s" } }
        local app = neap.template { user = "app", stop = { signal = "INT" } }
        local worker = app:extend { nice = 10 }
        worker "w" { command = { "w" } }
        neap.process "p" { command = { "p" } }
        "#,
    );
    let (w, p) = (spec(&plan, "w"), spec(&plan, "p"));
    assert_eq!((w.user.as_deref(), w.nice), (Some("app"), Some(10)));
    assert_eq!((w.stop.sequence[0].signal, w.stop.sequence[0].wait), (Signal::INT, Duration::from_secs(3)));
    assert_eq!((p.user.as_deref(), p.nice), (Some("nobody"), Some(5)));
}

#[test]
fn handles_names_and_groups_stand_for_processes() {
    let plan = plan(
        r#"
        local a = neap.process("a", { command = { "a" } })
        local b = neap.process "b" { command = { "b" }, requires = a }
        local both = neap.group "both" { a, b }
        neap.process "c" { command = { "c" }, requires = both }
        neap.process "d" { command = { "d" }, after = { both, "c" }, wants = b }
        "#,
    );
    assert_eq!(spec(&plan, "b").requires, ["a"]);
    assert_eq!(spec(&plan, "c").requires, ["a", "b"]);
    assert_eq!(spec(&plan, "d").after, ["a", "b", "c"]);
    assert_eq!(spec(&plan, "d").wants, ["b"]);
}

#[test]
fn probes_take_a_table_or_their_one_value() {
    let plan = plan(
        r#"
        neap.process "a" { command = { "a" }, ready = neap.tcp(6390) }
        neap.process "b" { command = { "b" }, ready = neap.exec { "redis-cli", "ping" } }
        neap.process "c" { command = { "c" }, health = neap.check { function() return true end, interval = "3s" } }
        neap.process "d" { command = { "d" }, ready = neap.logline "listening on" }
        neap.process "e" { command = { "e" }, health = neap.http "http://127.0.0.1:8080/", ready = "health" }
        "#,
    );
    assert_eq!(spec(&plan, "a").ready, Ready::tcp(6390));
    assert_eq!(spec(&plan, "b").ready, Ready::exec(["redis-cli", "ping"]));
    let health = spec(&plan, "c").health.as_ref().expect("a health check");
    assert!(matches!(health.target, ProbeTarget::Function(_)));
    assert_eq!(health.interval, Duration::from_secs(3));
    assert_eq!(spec(&plan, "d").ready, Ready::logline("listening on"));
    assert_eq!(spec(&plan, "e").ready, Ready::Health);
}

#[test]
fn the_environment_profiles_files_and_secrets_come_from_the_instance() {
    let source = r#"
        local neap = require "neap"
        neap.process "web" {
          command = { "web", neap.path "conf/../web.conf", neap.read "good/read.txt" },
          env = {
            PORT = neap.env("PORT", "80"), HOST = neap.env("HOST", "localhost"), NONE = neap.env "NONE",
            TOKEN = neap.secret { env = "TOKEN" }, PASSWORD = neap.secret { file = "good/read.txt" },
          },
          critical = neap.profile "prod",
        }
    "#;
    let mut request = EvaluateRequest::source("test.lua", source, "tests/lua");
    request.env.insert("PORT".into(), "8080".into());
    request.env.insert("TOKEN".into(), "abc".into());
    request.profiles.push("prod".into());
    let plan = evaluate(request).expect("the configuration is accepted").declared.plan;
    let web = spec(&plan, "web");
    let root = std::env::current_dir().expect("a directory").join("tests/lua");
    assert_eq!(web.command, ["web", root.join("web.conf").to_str().expect("UTF-8"), "read by a test\n"]);
    let env: Vec<(&str, &str)> = web.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(env, [("HOST", "localhost"), ("PORT", "8080")]);
    assert_eq!((web.secret_env["TOKEN"].expose(), web.secret_env["PASSWORD"].expose()), ("abc", "read by a test"));
    assert!(web.critical && !format!("{web:?}").contains("abc"));
}

#[test]
fn the_same_configuration_gives_the_same_plan_however_tables_are_ordered() {
    let mut source = String::from("local neap = require \"neap\"\nlocal all = {}\n");
    for index in 0..60 {
        source.push_str(&format!(
            "all[\"p{index}\"] = {{ command = {{ \"p{index}\" }}, env = {{ A{index} = 1, B = 2, C = 3 }}, "
        ));
        source.push_str("hooks = { after_start = function() end, before_stop = function() end } }\n");
    }
    source.push_str("for name, table in pairs(all) do neap.process(name)(table) end");
    let first = evaluate(text(&source)).expect("the configuration is accepted").declared.plan;
    assert_eq!(first.len(), 60);
    for _ in 0..5 {
        let again = evaluate(text(&source)).expect("the configuration is accepted").declared.plan;
        for (a, b) in first.specs().zip(again.specs()) {
            assert_eq!(a.name, b.name);
            assert_eq!(neap::spec::schema::changed_fields(a, b), []);
        }
    }
}

#[test]
fn settings_handlers_and_timers_are_collected() {
    let source = r#"
        local neap = require "neap"
        neap.settings { shutdown_timeout = "20s", log_level = "debug" }
        neap.on("process.failed", function() end)
        neap.on("health.unhealthy", function() end)
        neap.every("90s", function() end)
    "#;
    let declared = evaluate(text(source)).expect("the configuration is accepted").declared;
    assert_eq!(declared.settings.shutdown_timeout, Some(Duration::from_secs(20)));
    assert_eq!(declared.settings.log_level.as_deref(), Some("debug"));
    let topics: Vec<&str> = declared.handlers.iter().map(|handler| handler.topic.as_str()).collect();
    assert_eq!(topics, ["process.failed", "health.unhealthy"]);
    assert_eq!(declared.timers[0].interval, Duration::from_secs(90));
}

#[test]
fn values_print_themselves_usefully() {
    let plan = plan(
        r#"
        local a = neap.process "a" { command = { "a" } }
        neap.process "shown" {
          command = {
            tostring(a), tostring(neap.template { user = "x" }), tostring(neap.tcp { port = 1 }), tostring(neap.unset),
            tostring(neap.secret { file = "tests/lua/good/read.txt" }), tostring(neap.group "g" { a }), tostring(neap),
          },
        }
        "#,
    );
    assert_eq!(
        spec(&plan, "shown").command,
        ["process `a`", "template of user", "neap.tcp { port }", "neap.unset", "***", "group `g` of a", "neap (api 1)"]
    );
}

#[test]
fn json_goes_both_ways_with_sorted_keys() {
    let plan = plan(
        r#"
        local json = neap.json
        local value = json.decode '{"b": [1, 2.5, null], "a": {"x": true}}'
        assert(value.b[3] == json.null and value.a.x == true)
        neap.process "p" { command = { json.encode(value), json.encode { 1, "two" } } }
        "#,
    );
    assert_eq!(spec(&plan, "p").command, [r#"{"a":{"x":true},"b":[1,2.5,null]}"#, r#"[1,"two"]"#]);
}

#[test]
fn a_thousand_processes_are_evaluated() {
    let source = r#"
        local neap = require "neap"
        for i = 1, 1000 do
          neap.process("p" .. i) { command = { "sleep", tostring(i) }, env = { N = i }, restart = { delay = "1s" } }
        end
    "#;
    assert_eq!(evaluate(text(source)).expect("the configuration is accepted").declared.plan.len(), 1000);
}

#[test]
fn what_is_small_in_lua_and_boundless_outside_is_refused() {
    let doubled = "local value = { \"x\" } for _ = 1, 25 do value = { value, value } end";
    let wide = "local value = {} for i = 1, 20000 do value[\"K\" .. i] = i end";
    let long = "local value = (\"x\"):rep(1e6) local many = {} for i = 1, 100 do many[i] = value end";
    for (source, expected) in [
        (format!("{doubled} neap.process \"p\" {{ command = {{ \"p\" }}, env = {{ X = value }} }}"), "too large"),
        (format!("{doubled} neap.json.encode(value)"), "too large"),
        (
            "local t = {} for i = 1, 1900000 do t[i] = \"x\" end neap.process \"p\" { command = t, env = { t } }"
                .to_owned(),
            "too large",
        ),
        (format!("{long} neap.json.encode(many)"), "too large"),
        (format!("{long} neap.process \"p\" {{ command = many }}"), "too large"),
        (
            format!(
                "{wide} local t = neap.template {{ env = value }} \
                 for i = 1, 1000 do t(\"p\" .. i) {{ command = {{ \"p\" }} }} end"
            ),
            "too large",
        ),
        (
            "local all = {} for i = 1, 2000 do all[i] = \"p\" .. i end local g = neap.group \"g\" (all) \
             local many = {} for i = 1, 2000 do many[i] = g end neap.group \"h\" (many)"
                .to_owned(),
            "too many processes",
        ),
    ] {
        let source = format!("local neap = require \"neap\" {source}");
        let error = evaluate(text(&source).deadline(HANGS)).expect_err("the configuration is refused").to_string();
        assert!(error.contains(expected) && error.starts_with("test.lua:1:"), "{source}: {error}");
    }
}

#[test]
fn of_very_many_problems_the_first_are_told_and_the_rest_counted() {
    let source = r#"
        local neap = require "neap"
        for i = 1, 2000 do neap.process("p" .. i) { command = {}, ["key" .. i] = true } end
    "#;
    let error = evaluate(text(source)).expect_err("the configuration is refused");
    assert_eq!(error.problems.len(), 501);
    assert!(error.problems[500].message.contains("more problems like these"));
}

#[test]
fn a_text_that_stands_in_no_file_has_lines_too() {
    let source = "local neap = require 'neap'\nneap.process 'p' {\n  command = { 'p' },\n  usr = 'x',\n}";
    let error = evaluate(text(source)).expect_err("the configuration is refused").to_string();
    assert_eq!(error, "test.lua:4: process `p`: usr: there is no such key; did you mean `user`?");
}
