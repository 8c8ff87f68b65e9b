//! Sessions: lines beside a configuration's own functions.

use std::time::Duration;

use neap::core::StateName;
use neap::lua::{Item, SessionRequest};

use crate::live::Live;
use crate::talk::Talk;

fn web() -> Live {
    Live::new(
        r#"
        shared = { level = 1 }
        neap.process "web" { command = { "sleep", "1000" } }
        neap.process "db-1" { command = { "sleep", "1000" }, auto_start = false }
        "#,
    )
}

#[test]
fn an_expression_gives_its_values_and_a_statement_none() {
    let live = web();
    let mut talk = Talk::new(&live);
    assert_eq!(talk.says("1 + 1"), "2");
    assert_eq!(talk.says("1, 'two', nil, true"), "1\n\"two\"\nnil\ntrue");
    assert_eq!(talk.says("x = 5"), "");
    assert_eq!(talk.says("x"), "5");
    assert_eq!(talk.says("-- nothing"), "");
    assert_eq!(talk.says(""), "");
    assert_eq!(talk.says("return 3"), "3");
    assert_eq!(talk.says("shared.level"), "1", "the configuration's globals are seen");
    drop(talk);
    live.shut_down();
}

#[test]
fn locals_persist_and_functions_and_closures_see_them() {
    let live = web();
    let mut talk = Talk::new(&live);
    talk.says("local n = 1");
    talk.says("local function bump() n = n + 1 return n end");
    assert_eq!(talk.says("bump(), bump()"), "2\n3");
    assert_eq!(talk.says("n"), "3");
    talk.says("local a, b");
    assert_eq!(talk.says("a, b"), "nil\nnil");
    talk.says("for i = 1, 3 do local hidden = i end");
    assert!(talk.fails("hidden").message.contains("undefined global `hidden`"));
    assert_eq!(talk.says("6 * 7"), "42");
    assert_eq!(talk.says("_ + 1"), "43");
    drop(talk);
    live.shut_down();
}

#[test]
fn what_is_not_over_is_told_as_such_and_has_no_effect() {
    let live = web();
    let mut talk = Talk::new(&live);
    for text in
        ["for i = 1, 3 do", "x = {", "1 +", "print(", "[[long", "if true then", "neap.process 'a' {", "local y ="]
    {
        assert!(talk.fails(text).incomplete, "{text}");
    }
    assert_eq!(talk.says("for i = 1, 3 do\nlast = i\nend"), "");
    assert_eq!(talk.says("last"), "3");
    for (text, part) in [("1 + * 2", "'*'"), ("x = = 1", "'='"), ("end", "'end'"), ("'open", "unfinished string")] {
        let trouble = talk.fails(text);
        assert!(!trouble.incomplete && trouble.message.contains(part), "{text}: {trouble:?}");
        assert!(trouble.message.starts_with("repl:1:"), "{trouble:?}");
    }
    drop(talk);
    live.shut_down();
}

#[test]
fn an_error_has_its_line_and_the_frames_of_scripts_alone() {
    let live = web();
    let mut talk = Talk::new(&live);
    talk.says("function inner() error('broken') end\nfunction outer() inner() end");
    let trouble = talk.fails("local ok = true\nouter()");
    assert_eq!(trouble.message, "repl:1: broken");
    let frames = trouble.traceback.join("\n");
    assert!(frames.contains("repl:1: in ") && frames.contains("repl:2: in "), "{frames}");
    assert!(!frames.contains("[C]") && !frames.contains("neap]"), "{frames}");
    assert!(talk.fails("shraed").message.contains("did you mean `shared`?"));
    assert!(talk.fails("local mine = 1; mien()").message.contains("did you mean `mine`?"));
    drop(talk);
    live.shut_down();
}

#[test]
fn print_goes_to_the_session_before_the_answer() {
    let live = web();
    let mut talk = Talk::new(&live);
    assert_eq!(talk.says("print('a', 1, nil) print('b') return 7"), "7");
    assert_eq!(talk.printed, "a\t1\tnil\nb\n");
    talk.printed.clear();
    talk.says("for i = 1, 5000 do print(i) end");
    assert_eq!(talk.printed.lines().count(), 5000, "a slow reader holds up the line, and loses nothing");
    drop(talk);
    live.shut_down();
}

#[test]
fn a_computing_line_is_given_up_at_once() {
    let live = web();
    let mut talk = Talk::new(&live);
    for text in [
        "while true do end",
        "pcall(function() while true do end end) while true do end",
        "local co = coroutine.wrap(function() while true do end end) co()",
        "while true do pcall(error) end",
        "table.sort({ 3, 2, 1 }, function() while true do end end)",
        "setmetatable({}, { __index = function() while true do end end }).x = 1; local _ = setmetatable({}, { __index = function() while true do end end }).y",
        "string.rep('a', 1 << 20):find(string.rep('.-', 30) .. 'b')",
        "local function f() return f() end f()",
        "while true do print('more') end",
        "for event in neap.events() do end",
    ] {
        let id = talk.begin(&format!("print 'begun' {text}"), None);
        assert!(matches!(talk.item(), Item::Print { .. }));
        talk.session.cancel(id);
        match talk.answer(id) {
            Err(trouble) => assert!(trouble.cancelled, "{text}: {trouble:?}"),
            Ok(values) => panic!("{text}: {values:?}"),
        }
        assert_eq!(talk.says("'still here'"), "\"still here\"");
    }
    drop(talk);
    live.shut_down();
}

#[test]
fn a_line_is_cut_off_at_its_deadline() {
    let live = web();
    let mut talk = Talk::new(&live);
    for text in [
        "while true do end",
        "coroutine.wrap(function() while true do coroutine.yield() end end)() while true do end",
        "for event in neap.events() do end",
        "neap.get('web'):wait('crashed')",
    ] {
        let id = talk.begin(text, Some(Duration::from_millis(100)));
        let trouble = talk.answer(id).expect_err("it is cut off");
        assert!(trouble.timed_out, "{text}: {trouble:?}");
    }
    assert_eq!(talk.says("1"), "1");
    drop(talk);
    live.shut_down();
}

#[test]
fn hostile_lines_harm_nobody() {
    let live = web();
    let mut talk = Talk::new(&live);
    for text in [
        "string.rep('x', 1 << 40)",
        "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1 << 16) .. i end",
        "local function deep(n) return 1 + deep(n) end deep(1)",
        "setmetatable({}, { __gc = function() end })",
        "error()",
        "error({})",
        "error(setmetatable({}, { __tostring = function() error('no') end }))",
        "coroutine.yield(1)",
    ] {
        let outcome = talk.evaluate(text);
        assert!(outcome.is_err() || text.starts_with("coroutine"), "{text}: {outcome:?}");
    }
    // Values that say what they are in ways of their own.
    let _ = talk.evaluate("setmetatable({}, { __tostring = function() while true do end end })");
    let _ = talk.evaluate("setmetatable({}, { __tostring = function() return 5 end })");
    let _ = talk.evaluate("setmetatable({}, { __tostring = function() coroutine.yield() end })");
    assert_eq!(talk.says("1"), "1");
    assert_eq!(live.supervisor.get("web").unwrap().status().unwrap().state, StateName::Running);
    drop(talk);
    live.shut_down();
}

#[test]
fn two_sessions_have_variables_of_their_own() {
    let live = web();
    let (mut one, mut two) = (Talk::new(&live), Talk::new(&live));
    one.says("x = 'one'");
    two.says("x = 'two'");
    assert_eq!((one.says("x"), two.says("x")), ("\"one\"".into(), "\"two\"".into()));
    assert!(one.fails("_G.x").message.contains("undefined global"));
    drop((one, two));
    live.shut_down();
}

#[test]
fn a_session_that_is_dropped_in_the_middle_of_a_line_gives_it_up() {
    let live = web();
    let mut talk = Talk::new(&live);
    talk.begin("function forever() while true do end end forever()", None);
    drop(talk);
    let mut other = Talk::new(&live);
    assert_eq!(other.says("1"), "1");
    drop(other);
    live.shut_down();
}

#[test]
fn lines_are_answered_in_their_order_each_once() {
    let live = web();
    let mut talk = Talk::new(&live);
    let ids: Vec<u64> = (0..10).map(|n| talk.begin(&format!("{n}"), None)).collect();
    for (n, id) in ids.into_iter().enumerate() {
        match talk.item() {
            Item::Answer(answer) => {
                assert_eq!((answer.id, answer.result.unwrap().shown), (id, vec![n.to_string()]));
            }
            other => panic!("{other:?}"),
        }
    }
    drop(talk);
    live.shut_down();
}

#[test]
fn values_are_readable() {
    let live = web();
    let mut talk = Talk::with(&live, SessionRequest { width: 60, ..SessionRequest::default() });
    assert_eq!(talk.says("{ 1, 2, 3 }"), "{ 1, 2, 3 }");
    assert_eq!(talk.says("{}"), "{}");
    assert_eq!(talk.says("{ a = 1, b = { c = 'x' } }"), "{\n  a = 1,\n  b = { c = \"x\" },\n}");
    assert_eq!(talk.says("'\\27[31mred\\n'"), "\"\\u{1b}[31mred\\n\"");
    assert_eq!(talk.says("local t = {} t.t = t return t"), "{\n  t = {…} (contains itself),\n}");
    assert_eq!(
        talk.says("{ { name = 'a', n = 1 }, { name = 'long name', n = 22 } }"),
        "NAME       N\na          1\nlong name  22"
    );
    assert_eq!(talk.json("{ a = { 1, 2 }, b = 'x' }"), "{\"a\":[1,2],\"b\":\"x\"}");
    assert_eq!(talk.json("print"), "null");
    assert_eq!(talk.says("{ ['a b'] = 1, [10] = 2, ['end'] = 3 }"), "{ [10] = 2, [\"a b\"] = 1, [\"end\"] = 3 }");
    drop(talk);
    live.shut_down();
}

#[test]
fn completion_knows_variables_processes_methods_and_keys() {
    let live = web();
    let mut talk = Talk::new(&live);
    talk.says("local my_table = { alpha = 1, beta = { gamma = 2 } }");
    for (text, start, wanted) in [
        ("my_t", 0, "my_table"),
        ("print(my_table.al", 15, "alpha"),
        ("my_table.beta.", 14, "gamma"),
        ("shar", 0, "shared"),
        ("str", 0, "string"),
        ("string.gm", 7, "gmatch"),
        ("p.w", 2, "web"),
        ("p['db", 3, "db-1"),
        ("p.web:res", 6, "restart"),
        ("p['db-1']:lo", 10, "logs"),
        ("neap.ca", 5, "capture"),
        ("neap.log.wa", 9, "warn"),
        ("neap.get 'w", 10, "web"),
        ("neap.process 'x' { work", 19, "working_dir"),
        ("neap.process 'x' {\n  restart = { del", 33, "delay"),
        ("neap.process 'x' { restart = 'on-f", 30, "on-failure"),
        ("neap.process 'x' { type = ", 26, "\"oneshot\""),
        ("p.web:update { user", 15, "user"),
        ("p.web:wait 'run", 12, "running"),
        ("help 'restart.del", 6, "restart.delay"),
        ("whi", 0, "while"),
    ] {
        let found = talk.completes(text);
        let names: Vec<&str> = found.candidates.iter().map(|candidate| candidate.text.as_str()).collect();
        assert!(names.contains(&wanted), "{text}: {names:?}");
        assert_eq!(found.start, start, "{text}");
    }
    let key = talk.completes("neap.process 'x' { working_").candidates.remove(0);
    assert!(key.detail.ends_with('.'), "{key:?}");
    assert!(talk.completes("p.nobody_is_called_so").candidates.is_empty());
    assert!(talk.completes("\u{e9}\u{e9}.").candidates.is_empty());
    let id = talk.begin("print 'begun' while true do end", None);
    assert!(matches!(talk.item(), Item::Print { .. }));
    assert!(!talk.completes("p.").candidates.is_empty(), "also beside a line that computes");
    talk.session.cancel(id);
    assert!(talk.answer(id).is_err());
    drop(talk);
    live.shut_down();
}

#[test]
fn help_tells_what_the_definitions_say() {
    let live = web();
    let mut talk = Talk::new(&live);
    for (text, part) in [
        ("help()", "p.web:restart()"),
        ("help(neap.process)", "Declares a process"),
        ("help(p.web.restart)", "process:restart(options)"),
        ("help 'process:update'", "maps merge"),
        ("help 'restart.delay'", "restart.delay: neap.Duration"),
        ("help 'restart'", "max_delay"),
        ("help(p.web)", "process:stop"),
        ("help(p)", "p[\"a-b\"]"),
        ("help(neap)", "neap.fetch"),
        ("help(neap.json.encode)", "neap.json.encode("),
        ("help 'shutdown_timeout'", "neap.settings"),
        ("help(5)", "a number"),
    ] {
        talk.printed.clear();
        assert_eq!(talk.says(text), "", "{text}");
        assert!(talk.printed.contains(part), "{text}: {}", talk.printed);
    }
    assert!(talk.fails("help 'restrat'").message.contains("did you mean `restart`?"));
    drop(talk);
    live.shut_down();
}

#[test]
fn processes_are_found_by_name_under_p() {
    let live = web();
    live.reaches("web", StateName::Running);
    let mut talk = Talk::new(&live);
    assert!(talk.says("p.web").starts_with("process `web`: running, pid "));
    assert_eq!(talk.says("p['db-1']"), "process `db-1`: created");
    assert!(talk.fails("p.wbe").message.contains("did you mean `web`?"));
    assert_eq!(talk.says("#p"), "2");
    assert_eq!(
        talk.says("local n = {} for name in pairs(p) do n[#n + 1] = name end table.sort(n) return n"),
        "{ \"db-1\", \"web\" }"
    );
    let all = talk.says("p");
    assert!(all.contains("db-1  created") && all.contains("web   running"), "{all}");
    drop(talk);
    live.shut_down();
}
