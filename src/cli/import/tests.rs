//! What is imported means the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::config::{Process, config};
use crate::lua::{EvaluateRequest, Options, Runtime};
use crate::spec::samples::specs;
use crate::spec::{FunctionId, HookAction, Node, Plan, ProbeTarget, Ready, Severity, Spec, Value, write};
use crate::yaml::{Text, join, read};

/// A spec as YAML can say it: without functions, and without secrets, which it has no way to name.
fn sayable(mut spec: Spec) -> Spec {
    let hooks = &mut spec.hooks;
    for list in [
        &mut hooks.before_start,
        &mut hooks.after_start,
        &mut hooks.before_stop,
        &mut hooks.after_stop,
        &mut hooks.on_failure,
    ] {
        list.retain(|hook| matches!(hook.action, HookAction::Command(_)));
    }
    let is_function = |target: &ProbeTarget| matches!(target, ProbeTarget::Function(FunctionId(_)));
    if matches!(&spec.ready, Ready::Probe(probe) if is_function(&probe.target)) {
        spec.ready = Ready::Executed;
    }
    spec.health = spec.health.filter(|health| !is_function(&health.target));
    spec.conditions.check = None;
    spec.secret_env = BTreeMap::new();
    spec.volatile = false;
    spec
}

/// JSON is YAML.
fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Bool(truth) => (*truth).into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(fields) => fields.iter().map(|(key, node)| (key.clone(), json(node))).collect(),
        other => panic!("not for YAML: {other:?}"),
    }
}

/// What a YAML file with this process and those that it may name declares. What passes no validation is left out of it.
fn declared(spec: &Spec) -> (String, Vec<Spec>) {
    let Value::Map(mut fields) = write::node(spec).value else { panic!("a spec is a table") };
    loop {
        let table = |fields: &[(String, Node)]| json(&Node::new(Value::Map(fields.to_vec())));
        let mut all = serde_json::Map::new();
        all.insert("sample".to_owned(), table(&fields));
        for other in ["a", "b-1", "c.d", "e@f", "_g"] {
            all.insert(other.to_owned(), serde_json::json!({ "command": "true", "auto_start": true }));
        }
        let text = serde_json::json!({ "processes": all }).to_string();
        let document = read(&Text { file: "all.yaml", text: &text, name: Some("all") }).unwrap();
        let definitions = join(vec![document]).unwrap();
        let specs: Result<Vec<Spec>, _> = definitions.iter().map(crate::yaml::Definition::spec).collect();
        let problems = match specs {
            Ok(specs) => {
                let mut plan = Plan::new();
                specs.iter().for_each(|spec| plan.insert(spec.clone()).unwrap());
                let problems: Vec<_> =
                    plan.validate().into_iter().filter(|problem| problem.severity == Severity::Error).collect();
                if problems.is_empty() {
                    return (text, specs);
                }
                problems
            }
            Err(problems) => problems,
        };
        let before = fields.len();
        let wrong = problems.iter().filter_map(|problem| problem.field.as_deref()?.split(['.', '[']).next());
        let wrong: Vec<&str> = wrong.collect();
        let relations = ["requires", "wants", "binds_to", "follows", "part_of", "conflicts", "after", "before"];
        // What is wrong with several at once, an order in a circle, names no field.
        let wrong = if wrong.is_empty() { relations.to_vec() } else { wrong };
        fields.retain(|(key, _)| !wrong.contains(&key.as_str()));
        assert!(fields.len() < before, "{problems:?}\n{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn whatever_yaml_declares_the_lua_that_it_is_imported_as_declares_too(spec in specs()) {
        let (yaml, specs) = declared(&sayable(spec));
        let processes: Vec<Process> =
            specs.iter().map(|spec| Process { spec: spec.clone(), comments: Vec::new(), key_comments: Vec::new() }).collect();
        let lua = config("all.yaml", &[], &processes);
        let evaluated = Runtime::start(Options::default()).evaluate(EvaluateRequest::source("neap.lua", &lua, "."));
        let evaluated = evaluated.unwrap_or_else(|error| panic!("{error}\n{lua}\n{yaml}"));
        for spec in specs {
            prop_assert_eq!(evaluated.declared.plan.get(&spec.name), Some(&spec), "\n{}\n{}", lua, yaml);
        }
    }
}

fn imported(yaml: &str) -> String {
    let document = read(&Text { file: "web.yaml", text: yaml, name: Some("web") }).unwrap();
    let head = document.comments.clone();
    let definitions = join(vec![document]).unwrap();
    let processes: Vec<Process> = definitions
        .into_iter()
        .map(|definition| Process {
            spec: definition.spec().unwrap(),
            comments: definition.comments,
            key_comments: definition.key_comments,
        })
        .collect();
    config("web.yaml", &head, &processes)
}

#[test]
fn what_is_imported_reads_as_a_person_would_write_it() {
    let lua = imported(
        "
# Does the work.
processes:
  # The database, of
  # all things.
  my-db:
    command: /usr/sbin/db --serve
    auto_start: true
    restart_policy: always
    restart_sec: 2
    timeout_stop_sec: 45
    resources: { limits: { memory: 512M, cpu: 1500m } }
    env: { \"odd-name\": 'it''s \"it\"', PLAIN: 1 }
  2nd:
    shell: |
      echo [[ ]]
      exec sleep 1
    auto_start: true
    requires: my-db
    health_check: { type: http, endpoint: \"http://localhost:8126/info\", interval: 30 }
  end:
    command: [sleep, \"1\"]
    auto_start: true
    after: [2nd, my-db, later]
    exec_start_pre: [mkdir -p /tmp/x]
  later: { command: 'true' }
",
    );
    let expected = r#"-- From web.yaml, by `neap import`.
--
-- Does the work.
local neap = require "neap"

-- What YAML means by what it leaves out, where Lua means something else.
neap.defaults {
  working_dir = "/",
  restart = { policy = "never", jitter = 0, limit = { burst = 5, interval = "5m" } },
  stop = { timeout = "1m30s" },
  start_timeout = "infinity",
  log = { stdout = "inherit", stderr = "inherit" },
}

-- The database, of
-- all things.
local my_db = neap.process "my-db" {
  command = { "/usr/sbin/db", "--serve" },
  env = { PLAIN = "1", ["odd-name"] = "it's \"it\"" },
  restart = { policy = "always", delay = "2s" },
  stop = { timeout = "45s" },
  limits = { memory = "512MiB", cpu = 1.5 },
}

local p_2nd = neap.process "2nd" {
  shell = [=[
echo [[ ]]
exec sleep 1
]=],
  requires = my_db,
  health = neap.http { url = "http://localhost:8126/info", expected_status = 200, interval = "30s" },
}

neap.process "end" {
  command = { "sleep", "1" },
  after = { p_2nd, my_db, "later" },
  hooks = { before_start = { "mkdir", "-p", "/tmp/x" } },
}

neap.process "later" {
  command = { "true" },
  auto_start = false,
}
"#;
    assert_eq!(lua, expected);
}

#[test]
fn comments_are_kept_at_the_head_before_the_process_and_before_its_keys() {
    let lua = imported(
        "
# The shop.
#   (c) Ann

# All of it.
processes: # by name
  # The database.
  db: # first
    # What it runs.
    command: db --serve # in the foreground
    # It comes back,
    restart_policy: always
    restart_sec: 3 # but not at once.
    # For the others
    # as well.
    env:
      A: 1
      # Not the port.
      B: 2 # but two
    requires: # These:
      # the net,
      - net # of course,
      # and the disk.
      - disk
    # Nobody sees to it.
    auto_start: true
    # Far.

    timeout_stop_sec: 90
  net: &net { command: net, # Of the host.
    auto_start: true }
  # As the net.
  disk: *net
",
    );
    let expected = r#"-- From web.yaml, by `neap import`.
--
-- The shop.
--   (c) Ann
-- All of it.
-- by name
local neap = require "neap"

-- What YAML means by what it leaves out, where Lua means something else.
neap.defaults {
  working_dir = "/",
  restart = { policy = "never", jitter = 0, limit = { burst = 5, interval = "5m" } },
  stop = { timeout = "1m30s" },
  start_timeout = "infinity",
  log = { stdout = "inherit", stderr = "inherit" },
}

-- The database.
-- first
-- Nobody sees to it.
neap.process "db" {
  -- What it runs.
  -- in the foreground
  command = { "db", "--serve" },
  -- For the others
  -- as well.
  -- Not the port.
  -- but two
  env = { A = "1", B = "2" },
  -- These:
  -- the net,
  -- of course,
  -- and the disk.
  requires = { "net", "disk" },
  -- It comes back,
  -- but not at once.
  restart = { policy = "always", delay = "3s" },
}

neap.process "net" {
  -- Of the host.
  command = { "net" },
}

-- As the net.
neap.process "disk" {
  -- Of the host.
  command = { "net" },
}
"#;
    assert_eq!(lua, expected);
}

#[test]
fn comments_of_a_file_that_is_one_process_are_told_once() {
    let lua = imported("# Licence.\n\n# Serves.\ncommand: a # at once\n# Later.\nuser: web\n");
    let (head, process) = lua.split_once("local neap").unwrap();
    assert_eq!(head, "-- From web.yaml, by `neap import`.\n--\n-- Licence.\n");
    assert!(process.contains("\n-- Serves.\n-- at once\nneap.process \"web\" {\n"), "{lua}");
    assert!(process.contains("  -- Later.\n  user = \"web\",\n") && lua.matches("Serves").count() == 1, "{lua}");
}
