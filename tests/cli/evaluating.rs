//! `neap eval`, and the REPL without a terminal.

use std::process::Output;

use nix::sys::signal::Signal;

use crate::instance::Instance;

const CONFIGURATION: &str = r#"
local neap = require "neap"
neap.process "web" { command = { "sleep", "1000" } }
neap.process "idle" { command = { "sleep", "1000" }, auto_start = false }
"#;

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn values_are_lines_and_as_json_the_only_one_or_an_array() {
    let instance = Instance::start(CONFIGURATION);
    assert_eq!(instance.ok(&["eval", "1 + 41"]), "42\n");
    assert_eq!(instance.ok(&["eval", "1, 'two', nil"]), "1\n\"two\"\nnil\n");
    assert_eq!(instance.ok(&["eval", "local x = 1"]), "");
    assert_eq!(
        instance.json(&["eval", "{ a = 1, b = { true } }", "--json"]),
        serde_json::json!({ "a": 1, "b": [true] })
    );
    assert_eq!(instance.json(&["eval", "1, nil, 'x'", "--json"]), serde_json::json!([1, null, "x"]));
    assert_eq!(instance.json(&["eval", "local x = 1", "--json"]), serde_json::Value::Null);
    // What JSON cannot hold is no null.
    for (text, why) in [
        ("print", "JSON has no form for"),
        ("0/0", "JSON has no number"),
        ("{ 1, a = 2 }", "a table mixes list items and keys"),
        ("1, { f = print }", "JSON has no form for"),
    ] {
        let object = instance.refusal(1, &["eval", text, "--json"]);
        let message = object["message"].as_str().unwrap();
        assert!(message.contains("it was evaluated, and is not shown: ") && message.contains(why), "{text}: {message}");
    }
}

#[test]
fn a_script_comes_from_stdin_and_what_it_prints_comes_first() {
    let instance = Instance::start(CONFIGURATION);
    let output = instance.fed(&["eval", "-"], "for i = 1, 3 do\n  print(i, 'x')\nend\nreturn 'done'\n");
    assert_eq!(text(&output), ("1\tx\n2\tx\n3\tx\n\"done\"\n".into(), String::new()));
    // Stdout is the answer's alone.
    let output = instance.fed(&["eval", "-", "--json"], "print('aside')\nreturn { 1 }\n");
    assert_eq!(text(&output), ("[1]\n".into(), "aside\n".into()));
}

#[test]
fn an_error_goes_to_stderr_with_its_traceback_and_fails() {
    let instance = Instance::start(CONFIGURATION);
    let failed = instance.fails(1, &["eval", "local function f() error('out of luck') end f()"]);
    assert_eq!(failed.stdout, "");
    assert!(failed.stderr.contains("eval:1: out of luck"), "{failed:?}");
    assert!(failed.stderr.lines().count() > 1, "no traceback: {failed:?}");
    let unknown = instance.fails(1, &["eval", "n"]);
    assert!(unknown.stderr.contains("eval:1:"), "{unknown:?}");
    let wrong = instance.fails(1, &["eval", "1 +"]);
    assert!(wrong.stderr.contains("eval:1:"), "{wrong:?}");
    let object = instance.refusal(1, &["eval", "error('x')", "--json"]);
    assert!(object["message"].as_str().unwrap().contains("eval:1: x"), "{object}");
}

#[test]
fn what_is_refused_or_never_comes_to_anything_has_its_exit_code() {
    let instance = Instance::start(CONFIGURATION);
    instance.ok(&["wait", "web"]);
    instance.fails(1, &["eval", "neap.get('idle'):reload()"]);
    let refused = instance.fails(1, &["eval", "neap.get('web'):stop()", "--read-only"]);
    assert!(refused.stderr.contains("read-only"), "{refused:?}");
    assert_eq!(instance.process("web")["state"], "running");
    instance.fails(7, &["eval", "while true do end", "--timeout", "200ms"]);
    instance.fails(7, &["eval", "neap.get('idle'):wait('running')", "--timeout", "200ms"]);
    instance.fails(5, &["eval", "1", "--socket", "/nowhere/neap.sock"]);
    instance.fails(2, &["eval"]);
}

#[test]
fn an_interrupt_cancels_what_is_evaluated() {
    let instance = Instance::start(CONFIGURATION);
    for endless in ["while true do end", "neap.get('idle'):wait('running')"] {
        let eval = instance.neap(&["eval", &format!("print('begun') {endless}")]).start();
        eval.wait_for_text("begun");
        eval.signal(Signal::SIGINT);
        eval.end().expect_code(130);
    }
}

#[test]
fn what_acts_is_done_when_it_is_over() {
    let instance = Instance::start(CONFIGURATION);
    instance.ok(&["eval", "neap.get('idle'):start()"]);
    assert_eq!(instance.process("idle")["state"], "running");
    instance.ok(&["eval", "for _, process in ipairs(neap.list()) do neap.get(process.name):stop() end"]);
    assert_eq!(instance.process("web")["state"], "stopped");
}

#[test]
fn without_a_terminal_the_repl_evaluates_lines_and_ends_with_the_first_that_fails() {
    let instance = Instance::start(CONFIGURATION);
    let output = instance.fed(&["repl"], "x = 40\nfunction f(n)\n  return n + 2\nend\nf(x)\n:list web --json\n");
    let (stdout, stderr) = text(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.starts_with("42\n[{") && stdout.contains("\"name\":\"web\""), "{stdout}");
    let output = instance.fed(&["repl"], "1\nerror('out of luck')\n2\n");
    let (stdout, stderr) = text(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), "1\n"));
    assert!(stderr.contains("repl:1: out of luck"), "{stderr}");
    let output = instance.fed(&["repl"], ":status nobody\n1\n");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b""[..]));
    let output = instance.fed(&["repl"], "function f()\n");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_secret_in_a_line_that_changed_something_is_in_no_event() {
    let instance = Instance::start(
        r#"
local neap = require "neap"
neap.process "web" { command = { "sleep", "1000" }, env = { KEY = neap.secret { env = "HOME" } } }
"#,
    );
    instance.ok(&["wait", "web"]);
    instance.ok(&["eval", "p.web:update { env = { KEY = 'leak-me-now' } }"]);
    instance.fails(1, &["eval", "p.web:stop() error('leak-me-now')"]);
    for flags in [&["events"][..], &["events", "--json"]] {
        let events = instance.ok(flags);
        assert!(events.contains("p.web:stop()") && !events.contains("leak-me-now"), "{events}");
    }
}

#[test]
fn a_script_that_prints_more_than_its_reader_takes_loses_nothing() {
    let instance = Instance::start(CONFIGURATION);
    let slow = instance.child(&["eval", "for i = 1, 60000 do print(i) end"]);
    // It waits for whoever reads it meanwhile.
    for _ in 0..20 {
        instance.ok(&["list"]);
    }
    let output = slow.wait_with_output().unwrap();
    let (stdout, stderr) = text(&output);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stdout.lines().count(), 60_000);
}
