//! YAML as a configuration, or as part of one: entries, folders, `neap.yaml`, and evaluations that are made again.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use neap::lua::{EvaluateRequest, Evaluated};
use neap::spec::{RestartPolicy, Severity, Stream};

use crate::support::evaluate;

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Folder {
        let path = std::env::temp_dir().join(format!("neap-lua-yaml-{}-{name}", std::process::id()));
        let _left_over = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        for (name, content) in files {
            fs::write(path.join(name), content).expect("a file");
        }
        Folder(path)
    }

    fn file(&self, name: &str) -> EvaluateRequest {
        EvaluateRequest::file(self.0.join(name))
    }

    fn all(&self) -> EvaluateRequest {
        EvaluateRequest::folder(&self.0)
    }

    /// What is wrong, without the folder's name.
    fn refused(&self, request: EvaluateRequest) -> String {
        let refused = evaluate(request).expect_err("it was accepted").to_string();
        refused.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _it_is_only_a_temporary_folder = fs::remove_dir_all(&self.0);
    }
}

fn names(evaluated: &Evaluated) -> Vec<&str> {
    evaluated.declared.plan.specs().map(|spec| spec.name.as_str()).collect()
}

const DATADOG: &str = "
api_key: not ours
process_manager:
  enabled: true
  managed_processes:
    trace-agent:
      command: sleep 1000
      restart_policy: always
      auto_start: true
    dogstatsd:
      command: sleep 1000
      restart_policy: on-failure
      auto_start: true
      binds_to: [trace-agent]
";

#[test]
fn a_yaml_file_is_a_configuration_in_its_own_dialect() {
    let folder = Folder::new("file", &[("web.yaml", "command: nginx -g 'daemon off;'\nrestart_sec: 3\n")]);
    let evaluated = evaluate(folder.file("web.yaml")).expect("it is accepted");
    let web = evaluated.declared.plan.get("web").expect("it is called as its file");
    assert_eq!(web.command, ["nginx", "-g", "daemon off;"]);
    assert_eq!((web.auto_start, web.restart.policy), (false, RestartPolicy::Never));
    assert_eq!(web.restart.delay, Duration::from_secs(3));
    assert_eq!((web.working_dir.as_deref(), &web.log.stdout), (Some("/"), &Stream::Inherit));
    assert!(web.source.to_string().ends_with("web.yaml:1"), "{}", web.source);
}

#[test]
fn a_mistake_in_yaml_is_told_with_its_file_its_line_and_the_users_word() {
    let files = [("web.yaml", "command: x\nrestart_polcy: always\nrestart_sec: soon\n")];
    let folder = Folder::new("wrong", &files);
    let refused = folder.refused(folder.file("web.yaml"));
    assert!(
        refused
            .contains("web.yaml:2: process `web`: restart_polcy: there is no such key; did you mean `restart_policy`?"),
        "{refused}"
    );
    assert!(refused.contains("web.yaml:3: process `web`: restart_sec: expected"), "{refused}");
}

#[test]
fn a_script_takes_the_processes_of_a_yaml_file_as_they_are() {
    let script = r#"
        local neap = require "neap"
        neap.defaults { restart = { policy = "never", delay = "9s" }, working_dir = "/tmp", user = "nobody" }
        local dd = neap.yaml "datadog.yaml"
        neap.process "shipper" { command = { "sleep", "1" }, requires = dd["trace-agent"] }
        neap.group "datadog" (dd)
        neap.group "some" { dd.dogstatsd, "shipper" }
        local found = {}
        for name, handle in pairs(dd) do found[#found + 1] = name .. "=" .. handle.name end
        table.sort(found)
        print(table.concat(found, ","))
    "#;
    let folder = Folder::new("script", &[("neap.lua", script), ("datadog.yaml", DATADOG)]);
    let evaluated = evaluate(folder.file("neap.lua")).expect("it is accepted");
    assert_eq!(names(&evaluated), ["dogstatsd", "shipper", "trace-agent"]);
    let plan = &evaluated.declared.plan;
    let agent = plan.get("trace-agent").expect("the agent");
    // Neither the defaults of the script nor those of Lua.
    assert_eq!((agent.restart.policy, agent.restart.delay), (RestartPolicy::Always, Duration::from_secs(1)));
    assert_eq!((agent.working_dir.as_deref(), agent.user.as_deref()), (Some("/"), None));
    assert_eq!(plan.get("shipper").expect("it").requires, ["trace-agent"]);
    assert_eq!(plan.get("shipper").expect("it").user.as_deref(), Some("nobody"));
    assert_eq!(agent.source.groups, ["datadog"]);
    assert_eq!(plan.get("dogstatsd").expect("it").source.groups, ["datadog", "some"]);
    assert!(evaluated.files.iter().any(|file| file.display.ends_with("datadog.yaml")), "it is no input on record");
}

#[test]
fn defaults_may_come_after_yaml_and_names_are_declared_once() {
    let script = r#"
        local neap = require "neap"
        neap.yaml "datadog.yaml"
        neap.defaults { user = "nobody" }
        neap.process "dogstatsd" { command = "true" }
    "#;
    let folder = Folder::new("twice", &[("neap.lua", script), ("datadog.yaml", DATADOG)]);
    let refused = folder.refused(folder.file("neap.lua"));
    assert_eq!(refused, "neap.lua:5: process `dogstatsd`: is declared twice; the first is at datadog.yaml:10");
}

#[test]
fn a_handle_that_is_not_there_is_an_error_that_names_the_nearest() {
    let lua =
        |key: &str| format!("local neap = require 'neap'\nlocal dd = neap.yaml 'datadog.yaml'\nprint(dd['{key}'])");
    let files = [("neap.lua", &*lua("trace-agnt")), ("datadog.yaml", DATADOG)];
    let folder = Folder::new("nearest", &files);
    let refused = folder.refused(folder.file("neap.lua"));
    assert_eq!(refused, "neap.lua:3: datadog.yaml declares no process `trace-agnt`; did you mean `trace-agent`?");
    fs::write(folder.0.join("datadog.yaml"), DATADOG.replace("enabled: true", "enabled: false")).expect("a file");
    let refused = folder.refused(folder.file("neap.lua"));
    assert!(refused.contains("`trace-agnt`; process_manager.enabled is false in it"), "{refused}");
}

#[test]
fn what_is_not_enabled_is_left_out_and_says_so() {
    let off = DATADOG.replace("enabled: true", "enabled: false");
    let folder = Folder::new("off", &[("datadog.yaml", &off)]);
    for request in [folder.file("datadog.yaml"), folder.all()] {
        let evaluated = evaluate(request).expect("it is accepted");
        assert!(evaluated.declared.plan.is_empty());
        let said: Vec<String> = evaluated.warnings.iter().map(ToString::to_string).collect();
        let expected = "datadog.yaml:4: warning: process_manager.enabled: is false, so its 2 processes are left out; \
                        nothing of this file is started";
        assert!(said.len() == 1 && said[0].ends_with(expected), "{said:?}");
    }
}

#[test]
fn a_script_reads_yaml_below_its_folder_only_and_only_while_it_is_evaluated() {
    let outside = Folder::new("outside", &[("x.yaml", "command: x\n")]);
    let path = outside.0.join("x.yaml");
    for (given, expected) in [
        ("../x.yaml", "leads out of the configuration's folder"),
        (path.to_str().expect("a path"), "leads out of the configuration's folder"),
        ("missing.yaml", "missing.yaml does not exist"),
    ] {
        let folder = Folder::new("below", &[("neap.lua", &format!("require('neap').yaml '{given}'"))]);
        let refused = folder.refused(folder.file("neap.lua"));
        assert!(refused.starts_with("neap.lua:1: neap.yaml: ") && refused.contains(expected), "{refused}");
    }
}

#[test]
fn a_folder_is_scripts_and_yaml_by_name_with_sockets_joined() {
    let files = [
        ("10-base.lua", "require('neap').process 'base' { command = 'true', wants = 'web' }"),
        ("20-web.yaml", "processes: { web: { command: web, requires: base } }\n"),
        ("api.yml", "command: api\nafter: web\n"),
        ("api.socket.yaml", "listen_stream: 127.0.0.1:18999\nservice: api\n"),
        ("30-last.lua", "require('neap').defaults { user = 'nobody' }"),
        (".hidden.yaml", "nonsense"),
        ("notes.txt", "nonsense"),
    ];
    let folder = Folder::new("folder", &files);
    let refused = folder.refused(folder.all());
    assert!(
        refused.contains("neap.defaults comes before the first process; `base` was declared at 10-base.lua:1"),
        "{refused}"
    );
    fs::remove_file(folder.0.join("30-last.lua")).expect("it is there");
    let evaluated = evaluate(folder.all()).expect("it is accepted");
    assert_eq!(names(&evaluated), ["api", "base", "web"]);
    assert_eq!(evaluated.declared.plan.get("api").expect("it").listen.len(), 1);
}

#[test]
fn a_file_that_several_take_is_declared_once() {
    let files = [
        ("10-first.lua", "local dd = require('neap').yaml 'datadog.yaml'\nassert(dd.dogstatsd.name == 'dogstatsd')"),
        ("20-second.lua", "local dd = require('neap').yaml './datadog.yaml'\nassert(dd.dogstatsd.name == 'dogstatsd')"),
        ("datadog.yaml", DATADOG),
    ];
    let folder = Folder::new("several", &files);
    let evaluated = evaluate(folder.all()).expect("it is accepted");
    assert_eq!(names(&evaluated), ["dogstatsd", "trace-agent"]);
}

#[test]
fn a_file_is_joined_with_the_sockets_beside_it() {
    let files = [
        ("web.yaml", "command: web\n"),
        ("web.socket.yaml", "listen_stream: 127.0.0.1:18999\nservice: web\n"),
        ("neap.lua", "local web = require('neap').yaml 'web.yaml'"),
    ];
    let folder = Folder::new("beside", &files);
    for request in [folder.file("web.yaml"), folder.file("neap.lua")] {
        let evaluated = evaluate(request).expect("it is accepted");
        assert_eq!(evaluated.declared.plan.get("web").expect("it").listen.len(), 1);
        // Made again from its record, whatever became of the files.
        let recorded = evaluated.recorded.clone();
        fs::rename(folder.0.join("web.socket.yaml"), folder.0.join("away")).expect("it is there");
        let again = evaluate(EvaluateRequest::from_record(recorded)).expect("it is accepted");
        assert_eq!(again.declared.plan, evaluated.declared.plan);
        fs::rename(folder.0.join("away"), folder.0.join("web.socket.yaml")).expect("it is there");
    }
}

/// Files of a folder, some of them wrong: one that cannot be read, one with a key that is not there, one that needs that
/// one, one whose name is taken, and the socket of one.
const MIXED: [(&str, &str); 8] = [
    ("10-script.lua", "require('neap').process 'script' { command = 'true' }"),
    ("good.yaml", "command: good\n"),
    ("bad.yaml", "command: bad\nrestart_polcy: always\n"),
    ("bad.socket.yaml", "listen_stream: 127.0.0.1:18998\n"),
    ("broken.yaml", "command: [\n"),
    ("needs.yaml", "command: needs\nrequires: bad\n"),
    ("needs-more.yaml", "command: more\nbinds_to: needs\n"),
    ("taken.yaml", "processes:\n  good: { command: other }\n  other: { command: other }\n"),
];

#[test]
fn a_bad_file_of_a_folder_refuses_the_whole() {
    let folder = Folder::new("whole", &MIXED);
    let refused = folder.refused(folder.all());
    for expected in [
        "bad.yaml:2: process `bad`: restart_polcy: there is no such key",
        "broken.yaml:",
        "taken.yaml:2: process `good`: is declared twice",
    ] {
        assert!(refused.contains(expected), "{expected} is not in:\n{refused}");
    }
    assert!(!refused.contains("needs.yaml"), "it is not known whether `bad` is there: {refused}");
}

#[test]
fn a_boot_leaves_out_the_bad_files_and_what_needs_them() {
    let folder = Folder::new("boot", &MIXED);
    let mut request = folder.all();
    request.skip_bad_files = true;
    let evaluated = evaluate(request).expect("the rest is accepted");
    assert_eq!(names(&evaluated), ["good", "script"]);
    let mut skipped: Vec<&str> = evaluated
        .skipped
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .filter_map(|problem| problem.file.as_deref()?.rsplit('/').next())
        .collect();
    skipped.sort_unstable();
    skipped.dedup();
    assert_eq!(skipped, ["bad.socket.yaml", "bad.yaml", "broken.yaml", "needs-more.yaml", "needs.yaml", "taken.yaml"]);

    // A successor evaluates it again from the record, and comes to the same.
    let recorded = evaluated.recorded.clone();
    fs::remove_dir_all(&folder.0).expect("it is there");
    let again = evaluate(EvaluateRequest::from_record(recorded)).expect("the rest is accepted");
    assert_eq!(again.declared.plan, evaluated.declared.plan);
    assert_eq!(again.skipped, evaluated.skipped);
}

#[test]
fn no_boot_leaves_out_what_a_script_needs() {
    let files = [
        ("10.lua", "require('neap').process 'script' { command = 'true', requires = 'bad' }"),
        ("bad.yaml", "command: bad\nrestart_polcy: always\n"),
    ];
    let folder = Folder::new("needed", &files);
    let mut request = folder.all();
    request.skip_bad_files = true;
    let refused = folder.refused(request);
    assert!(refused.contains("bad.yaml:2:") && refused.contains("10.lua:1: process `script`: requires:"), "{refused}");
}
