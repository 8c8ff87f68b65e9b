//! What the module does at run time, from sessions, hooks and handlers.

use std::sync::Arc;

use neap::core::{Applied, EventKind, StateName};
use neap::lua::{Operator, SessionRequest};
use neap::spec::Problem;
use neap::{Events, Next};

use crate::live::Live;
use crate::talk::Talk;

fn stack() -> Live {
    Live::new(
        r#"
        local neap = require "neap"
        neap.defaults { env = { FROM = "defaults" } }
        app = neap.template { description = "an app", restart = "never" }
        neap.process "db" { command = { "sleep", "1000" } }
        neap.process "web" { command = { "sleep", "1000" }, requires = "db" }
        neap.process "idle-1" { command = { "sleep", "1000" }, auto_start = false }
        "#,
    )
}

fn next_of(events: &mut Events, wanted: fn(&EventKind) -> bool) -> neap::core::Event {
    loop {
        match events.next_blocking() {
            Some(Next::Item(event)) if wanted(&event.kind) => return event,
            Some(_) => {}
            None => panic!("the supervisor has ended"),
        }
    }
}

#[test]
fn a_process_is_defined_and_started_from_a_session() {
    let live = stack();
    let mut talk = Talk::new(&live);
    let said = talk.says("neap.process 'late' { command = { 'sleep', '1000' }, stop = { timeout = '5s' } }");
    assert!(said.starts_with("process `late`: running, pid "), "{said}");
    let late = live.supervisor.get("late").expect("it is there");
    assert_eq!(late.status().unwrap().state, StateName::Running);
    assert_eq!(late.spec().unwrap().env.get("FROM").map(String::as_str), Some("defaults"));
    drop(late);
    talk.says("app 'templated' { command = 'sleep 1000' }");
    let templated = live.supervisor.get("templated").expect("it is there").spec().unwrap();
    assert_eq!(templated.description.as_deref(), Some("an app"));
    talk.says("q = neap.process 'quiet' { command = 'sleep 1000', auto_start = false }");
    assert_eq!(talk.says("q:status().state"), "\"created\"");
    assert_eq!(talk.json("q:delete().state"), "\"deleted\"");
    assert!(live.supervisor.get("quiet").is_none());
    drop(talk);
    live.shut_down();
}

#[test]
fn what_others_could_not_be_without_is_not_deleted() {
    let live = stack();
    let mut talk = Talk::new(&live);
    talk.says("base = neap.process 'base' { command = 'sleep 1000', auto_start = false }");
    talk.says("user = neap.process 'user' { command = 'sleep 1000', auto_start = false, requires = 'base' }");
    let message = talk.fails("base:delete()").message;
    assert!(message.contains("`user` requires `base`: delete `user` too, or update it to do without"), "{message}");
    assert!(live.supervisor.get("base").is_some());
    talk.says("user:delete()");
    assert_eq!(talk.json("base:delete().state"), "\"deleted\"");
    drop(talk);
    live.shut_down();
}

#[test]
fn questions_that_nobody_reads_the_answers_of_are_bounded() {
    let live = stack();
    let mut talk = Talk::new(&live);
    let (asked, why) = talk.asks_until_refused("neap.", 10_000);
    assert!(asked >= 64 && why.contains("questions wait for their answers already"), "{asked}: {why}");
    // Once they are read there is room again.
    for _ in 0..asked {
        talk.candidates();
    }
    assert!(!talk.completes("neap.pro").candidates.is_empty());
    drop(talk);
    live.shut_down();
}

#[test]
fn what_is_wrong_with_a_process_names_the_line() {
    let live = stack();
    let mut talk = Talk::new(&live);
    for (text, parts) in [
        ("neap.process 'x' {\n  command = 'true',\n  requries = 'db' }", ["repl:3:", "did you mean `requires`?"]),
        ("neap.process 'db' { command = 'true' }", ["repl:1:", "exists already"]),
        (
            "neap.process 'x' {\n command = '/no/such/program', restart = 'never' }",
            ["repl:1:", "is defined, but not up"],
        ),
        (
            "neap.process 'y' { command = 'true', hooks = { after_stop = function() end } }",
            ["repl:1:", "volatile = true"],
        ),
        ("neap.process 'y' { command = '' }", ["repl:1:", "command"]),
        ("neap.process('y', { command = 'true' })", ["repl:1:", "neap.process \"y\" { … }"]),
        ("neap.process 'y' (5)", ["repl:1:", "expected its table"]),
    ] {
        let message = talk.fails(text).message;
        assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
    }
    assert!(live.supervisor.get("y").is_none(), "nothing comes of a refused one");
    drop(talk);
    live.shut_down();
}

#[test]
fn functions_of_a_session_are_called_after_it_is_gone() {
    let live = stack();
    let mut talk = Talk::new(&live);
    talk.says(
        "local count = 0
         neap.process 'hooked' { command = { 'sleep', '1000' }, volatile = true,
           hooks = { after_stop = function(p) count = count + 1 neap.log.info('hook of ' .. p.name .. ' ' .. count) end } }",
    );
    drop(talk);
    live.supervisor.get("hooked").unwrap().stop().wait().unwrap();
    assert_eq!(live.hears("info: hook of"), "hooked 1");
    live.shut_down();
}

#[test]
fn an_outcome_is_a_table_that_says_what_came_of_it() {
    let live = stack();
    live.reaches("web", StateName::Running);
    let mut talk = Talk::new(&live);
    let said = talk.says("neap.get('db'):restart()");
    assert!(said.starts_with("db: running, pid ") && said.contains("along: web"), "{said}");
    assert_eq!(talk.says("_.along"), "{ \"web\" }");
    assert_eq!(talk.says("_ ~= nil"), "true");
    assert_eq!(talk.says("neap.get('idle-1'):stop().changed"), "false");
    assert!(talk.fails("neap.get('idle-1'):reload()").message.contains("`idle-1` is created"));
    assert_eq!(talk.says("'it is ' .. neap.get('db'):start()"), "\"it is running\"");
    assert_eq!(talk.json("neap.get('db'):update({ description = 'new' }).fields"), "[\"description\"]");
    drop(talk);
    live.shut_down();
}

#[test]
fn a_line_that_changed_something_is_an_event_with_its_caller() {
    let live = stack();
    let mut events = live.supervisor.events();
    let mut talk = Talk::new(&live);
    talk.says("neap.list()");
    talk.says("neap.get('idle-1'):start()");
    let event = next_of(&mut events, |kind| matches!(kind, EventKind::Executed { .. } | EventKind::Evaluated { .. }));
    assert!(matches!(event.kind, EventKind::Executed { .. }) || event.caller.as_deref() == Some("a test"));
    let event = next_of(&mut events, |kind| matches!(kind, EventKind::Evaluated { .. }));
    assert_eq!(event.kind, EventKind::Evaluated { line: "neap.get('idle-1'):start()".into() });
    assert_eq!(event.caller.as_deref(), Some("a test"));
    drop(talk);
    live.shut_down();
}

#[test]
fn a_read_only_session_refuses_what_changes_and_looks_at_all_else() {
    let live = stack();
    let mut talk = Talk::with(&live, SessionRequest { read_only: true, ..SessionRequest::default() });
    for text in [
        "neap.process 'x' { command = 'true' }",
        "app 'x' { command = 'true' }",
        "neap.apply()",
        "neap.capture { 'true' }",
        "neap.get('db'):start()",
        "neap.get('db'):stop()",
        "neap.get('db'):restart()",
        "neap.get('db'):reload()",
        "neap.get('db'):signal('HUP')",
        "neap.get('db'):update { description = 'x' }",
        "neap.get('db'):delete()",
        "pcall(error) coroutine.wrap(function() neap.get('db'):stop() end)()",
    ] {
        let message = talk.fails(text).message;
        assert!(message.contains("read-only"), "{text}: {message}");
    }
    assert_eq!(talk.says("#neap.list()"), "3");
    assert!(talk.says("neap.get('db')").starts_with("process `db`"));
    talk.says("x = 1");
    drop(talk);
    assert!(live.supervisor.get("x").is_none());
    live.shut_down();
}

struct Nobody;

impl Operator for Nobody {
    fn apply(&self, dry_run: bool, _: Option<Arc<str>>) -> Result<(Applied, Vec<Problem>), Vec<Problem>> {
        assert!(dry_run);
        Ok((Applied::default(), Vec::new()))
    }
}

#[test]
fn a_plan_is_asked_of_the_instance() {
    let live = stack();
    let mut talk = Talk::new(&live);
    assert!(talk.fails("neap.plan()").message.contains("no instance runs this configuration"));
    live.runtime.attach_operator(Arc::new(Nobody));
    assert_eq!(talk.says("neap.plan()"), "0 unchanged");
    drop(talk);
    live.shut_down();
}

#[test]
fn a_url_is_fetched_within_its_limits() {
    let live = stack();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        for body in ["hello", "much too long"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let read = std::io::Read::read(&mut stream, &mut asked).unwrap();
            assert!(asked[..read].starts_with(b"GET /path HTTP/1.1"));
            let answer = format!("HTTP/1.1 200 OK\r\nx-test: yes\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        }
    });
    let mut talk = Talk::with(&live, SessionRequest { read_only: true, ..SessionRequest::default() });
    talk.says(&format!("answer = neap.fetch 'http://127.0.0.1:{port}/path'"));
    assert_eq!(talk.says("answer.status, answer.headers['x-test'], answer.body"), "200\n\"yes\"\n\"hello\"");
    let message = talk.fails(&format!("neap.fetch {{ url = 'http://127.0.0.1:{port}/path', max_size = 4 }}")).message;
    assert!(message.contains("at most 4 bytes"), "{message}");
    served.join().unwrap();
    for (text, part) in [
        ("neap.fetch 'ftp://x'", "expected `http://host:port/path`"),
        ("neap.fetch { url = 'http://127.0.0.1/', methd = 'GET' }", "did you mean `method`?"),
        ("neap.fetch { url = 'http://127.0.0.1/', method = 'POST' }", "read-only"),
        ("neap.fetch 'unix:/no/such/socket:/x'", "cannot connect to /no/such/socket"),
    ] {
        let message = talk.fails(text).message;
        assert!(message.contains(part), "{text}: {message}");
    }
    drop(talk);
    live.shut_down();
}

#[test]
fn why_tells_who_asked() {
    let live = stack();
    live.reaches("db", StateName::Running);
    let mut talk = Talk::new(&live);
    talk.says("p.db:stop()");
    let told = talk.says("p.db:why()");
    assert!(told.contains("db is stopped") && told.contains("a test"), "{told}");
    assert_eq!(talk.says("p.db:why().chain[1].process"), "\"db\"");
    drop(talk);
    live.shut_down();
}
