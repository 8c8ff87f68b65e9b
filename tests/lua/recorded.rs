//! An evaluation that is made again from its record: the same plan with the same function ids, whatever became of the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;

use neap::Supervisor;
use neap::lua::{EvaluateRequest, Evaluated, InputKind, Options, Runtime};
use neap::spec::{HookAction, Spec};

use crate::support::HANGS;

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Folder {
        let path = std::env::temp_dir().join(format!("neap-recorded-{}-{name}", std::process::id()));
        let _left_over = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        for (name, content) in files {
            let path = path.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _it_is_only_a_temporary_folder = fs::remove_dir_all(&self.0);
    }
}

const CONFIG: &str = r#"
    local neap = require "neap"
    local nginx = require "nginx"
    local shared = require "lib.shared"
    local optional = pcall(require, "lib.optional")
    neap.process "api" {
        command = { "sleep", "1000" }, description = tostring(optional),
        env = { TEXT = neap.read "data.txt", TOKEN = neap.secret { file = "token" }, FOUND = table.concat(neap.glob "d/*.conf", ","), HOME = neap.env "HOME" },
    }
    if neap.profile "dev" then neap.process "dev" { command = { "true" } } end
    local names = {}
    for i = 1, 20 do names["web-" .. i] = i end
    for name, i in pairs(names) do
        shared.app(name) {
            hooks = {
                before_start = function() neap.log.info(name .. " before_start") end,
                after_stop = function() neap.log.info(name .. " after_stop") end,
                on_failure = function() neap.log.info(name .. " on_failure") end,
            },
            health = neap.check(function() return true end),
        }
    end
    neap.on("process.failed", function() end)
"#;

const FILES: [(&str, &str); 7] = [
    ("neap.lua", CONFIG),
    (
        "lib/shared.lua",
        "local neap = require \"neap\"\nreturn { app = neap.template { command = { \"sleep\", \"1\" } } }",
    ),
    ("data.txt", "read once"),
    ("token", "s3cret\n"),
    ("d/a.conf", ""),
    ("d/b.conf", ""),
    ("d/c.txt", ""),
];

fn request(folder: &Path) -> EvaluateRequest {
    let mut request = EvaluateRequest::file(folder.join("neap.lua"));
    request.env = BTreeMap::from([("HOME".to_owned(), "/home/first".to_owned())]);
    request.profiles = vec!["dev".to_owned()];
    request
}

fn runtime() -> Runtime {
    Runtime::start(Options::default())
}

fn specs(evaluated: &Evaluated) -> Vec<String> {
    // As they are written down: secrets and function ids count.
    let stored = |spec: &Spec| serde_json::to_string(&neap::spec::stored::StoredRef(spec)).expect("a spec is data");
    evaluated.declared.plan.specs().map(stored).collect()
}

#[test]
fn from_its_record_an_evaluation_is_the_same_whatever_became_of_the_files() {
    let folder = Folder::new("same", &FILES);
    let first = runtime();
    // Some generations before it.
    for _ in 0..3 {
        first.evaluate(request(&folder.0)).expect("accepted");
    }
    let original = first.evaluate(request(&folder.0)).expect("accepted");
    assert_eq!(original.generation.number(), 4);
    assert_eq!(original.declared.plan.generation, 4);
    fs::remove_dir_all(&folder.0).expect("removed");

    let second = runtime();
    let again = EvaluateRequest::from_record(original.recorded.clone()).generation(4);
    let again = second.evaluate(again).expect("accepted from its record");
    assert_eq!(specs(&again), specs(&original));
    assert_eq!(again.declared.plan.generation, 4);
    assert_eq!(again.declared.handlers, original.declared.handlers);
    assert_eq!(again.files, original.files);
    assert_eq!(again.recorded, original.recorded, "what was evaluated from a record can be recorded again");
    let later = second.evaluate(EvaluateRequest::source("x", "", ".")).expect("accepted");
    assert_eq!(later.generation.number(), 5, "later generations have higher numbers");
    let twice = second.evaluate(EvaluateRequest::source("x", "", ".").generation(4)).expect_err("loaded already");
    assert!(twice.to_string().contains("generation 4 is loaded already"), "{twice}");
}

#[test]
fn files_that_were_changed_are_read_as_they_were() {
    let folder = Folder::new("changed", &FILES);
    let original = runtime().evaluate(request(&folder.0)).expect("accepted");
    fs::write(folder.0.join("neap.lua"), "this is not even Lua").expect("written");
    fs::write(folder.0.join("data.txt"), "changed").expect("written");
    fs::write(folder.0.join("token"), "changed").expect("written");
    fs::write(folder.0.join("d/z.conf"), "").expect("written");
    fs::write(folder.0.join("lib/optional.lua"), "return {}").expect("written");
    let again = runtime().evaluate(EvaluateRequest::from_record(original.recorded.clone()).generation(1));
    assert_eq!(specs(&again.expect("accepted from its record")), specs(&original));
}

#[test]
fn a_folder_is_evaluated_again_with_the_files_that_it_had() {
    let process =
        |name: &str| format!("local neap = require \"neap\" neap.process \"{name}\" {{ command = {{ \"true\" }} }}");
    let (a, b) = (process("a"), process("b"));
    let folder = Folder::new("folder", &[("1.lua", &a), ("2.lua", &b)]);
    let original = runtime().evaluate(EvaluateRequest::folder(&folder.0)).expect("accepted");
    fs::remove_file(folder.0.join("2.lua")).expect("removed");
    fs::write(folder.0.join("3.lua"), process("c")).expect("written");
    let again = runtime().evaluate(EvaluateRequest::from_record(original.recorded.clone())).expect("accepted");
    assert_eq!(specs(&again), specs(&original));
}

#[test]
fn what_the_record_lacks_is_an_error_that_says_so() {
    let folder = Folder::new("lacks", &FILES);
    let original = runtime().evaluate(request(&folder.0)).expect("accepted");
    for (kind, name) in [
        (InputKind::File, "neap.lua"),
        (InputKind::File, "data.txt"),
        (InputKind::Secret, "token"),
        (InputKind::Names, "*.conf"),
    ] {
        let mut lacking = original.recorded.clone();
        lacking.inputs.retain(|input| input.kind != kind || !input.name.ends_with(name));
        assert_eq!(lacking.inputs.len() + 1, original.recorded.inputs.len(), "{name} was not recorded");
        let refused = runtime().evaluate(EvaluateRequest::from_record(lacking)).expect_err("refused").to_string();
        assert!(refused.contains("not in the record") && refused.contains(name), "{refused}");
    }
    let mut lacking = original.recorded.clone();
    lacking.inputs.retain(|input| input.kind != InputKind::Module || input.name != "nginx");
    assert_eq!(lacking.inputs.len() + 1, original.recorded.inputs.len(), "the module was not recorded");
    let refused = runtime().evaluate(EvaluateRequest::from_record(lacking)).expect_err("refused").to_string();
    assert!(refused.contains("module `nginx` not found"), "{refused}");
}

#[test]
fn functions_have_the_same_numbers_in_every_evaluation_and_are_the_same_functions() {
    let folder = Folder::new("numbers", &FILES);
    let original = runtime().evaluate(request(&folder.0)).expect("accepted");
    let first = specs(&original);
    for _ in 0..4 {
        let again = runtime().evaluate(EvaluateRequest::from_record(original.recorded.clone()).generation(1));
        assert_eq!(specs(&again.expect("accepted")), first);
    }

    // Each is called by the number that the first evaluation gave it, in a state of its own.
    let (sender, said) = channel();
    let print = move |line: &str| drop(sender.send(line.to_owned()));
    let second = Runtime::start(Options { print: Some(Arc::new(print)), ..Options::default() });
    let again =
        second.evaluate(EvaluateRequest::from_record(original.recorded.clone()).generation(1)).expect("accepted");
    let supervisor = Supervisor::builder().functions(Arc::new(second.clone())).build().expect("a supervisor");
    second.attach(supervisor.clone());
    let mut plan = neap::spec::Plan::new();
    for spec in original.declared.plan.specs().filter(|spec| spec.name.starts_with("web-")) {
        let hooks = [&spec.hooks.before_start, &spec.hooks.after_stop, &spec.hooks.on_failure];
        assert!(hooks.iter().all(|hooks| matches!(hooks[0].action, HookAction::Function(_))));
        let mut oneshot = Spec::new(spec.name.clone(), ["true"]);
        oneshot.hooks.before_start = spec.hooks.before_start.clone();
        plan.insert(oneshot).expect("names differ");
    }
    let names: Vec<String> = plan.specs().map(|spec| spec.name.clone()).collect();
    assert_eq!(names.len(), 20);
    supervisor.apply(plan).wait().expect("applied");
    let mut lines: Vec<String> = (0..20).map(|_| said.recv_timeout(HANGS).expect("a hook was called")).collect();
    lines.sort();
    let expected: Vec<String> = names.iter().map(|name| format!("{name} before_start")).collect();
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.contains(expected.as_str()), "{line} instead of {expected}");
    }
    supervisor.shutdown().wait().expect("stopped");
    second.detach();
    drop(again);
}

#[test]
fn what_functions_read_at_run_time_is_the_disks() {
    let config = r#"
        local neap = require "neap"
        neap.process "x" { command = { "true" }, hooks = { before_start = function() neap.log.info(neap.read "data.txt") end } }
        neap.read "data.txt"
    "#;
    let folder = Folder::new("later", &[("neap.lua", config), ("data.txt", "then")]);
    let original = runtime().evaluate(request(&folder.0)).expect("accepted");
    fs::write(folder.0.join("data.txt"), "now").expect("written");
    let (sender, said) = channel();
    let print = move |line: &str| drop(sender.send(line.to_owned()));
    let second = Runtime::start(Options { print: Some(Arc::new(print)), ..Options::default() });
    let again = second.evaluate(EvaluateRequest::from_record(original.recorded.clone())).expect("accepted");
    let supervisor = Supervisor::builder().functions(Arc::new(second.clone())).build().expect("a supervisor");
    supervisor.apply(again.declared.plan.clone()).wait().expect("applied");
    let line = said.recv_timeout(HANGS).expect("the hook was called");
    assert!(line.contains("now"), "{line}");
    supervisor.shutdown().wait().expect("stopped");
}
