//! `examples/limits.lua`: what happens at each limit; and the page about limits.

use serde_json::Value;

use crate::instance::Instance;
use crate::support::{DEADLINE, Folder, Neap};

const EXAMPLE: &str = include_str!("../../examples/limits.lua");
const PAGE: &str = include_str!("../../docs/resource-limits.md");

/// Whether a cgroup sees to each of these limits here; else says that the test is skipped.
fn has(instance: &Instance, test: &str, limits: &[&str]) -> bool {
    let status = instance.json(&["status", "--json"]);
    let promises = status["promises"].as_array().unwrap();
    let weak = promises.iter().find(|one| {
        let what = one["what"].as_str().unwrap();
        limits.iter().any(|limit| what == format!("limits.{limit} is enforced"))
            && !one["why"].as_str().unwrap().starts_with("by cgroup")
    });
    if let Some(weak) = weak {
        println!("skipped: {test}: {}: {}", weak["what"], weak["why"]);
    }
    weak.is_none()
}

/// The process once it is so.
#[track_caller]
fn once(instance: &Instance, name: &str, met: impl Fn(&Value) -> bool) -> Value {
    let end = std::time::Instant::now() + DEADLINE;
    loop {
        let process = instance.process(name);
        if met(&process) {
            return process;
        }
        assert!(std::time::Instant::now() < end, "in vain: {process}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn the_example_of_limits_does_what_it_says() {
    let instance = Instance::start(EXAMPLE);
    if !has(&instance, "the_example_of_limits_does_what_it_says", &["memory", "pids", "cpu"]) {
        return;
    }
    let leak = once(&instance, "leak", |leak| leak["state"] == "crashed");
    assert_eq!(leak["run_count"], 4, "{leak}");
    assert!(leak["reason"].as_str().unwrap().ends_with("out of memory (oom)"), "{leak}");
    assert!(instance.ok(&["why", "leak"]).contains("(oom)"));
    assert!(instance.ok(&["events", "leak"]).contains("oom"));
    let swarm = once(&instance, "swarm", |swarm| swarm["state"] == "failed");
    assert_eq!(swarm["reason"], "exit code 2, at its pids limit", "{swarm}");
    let described = instance.json(&["describe", "spin", "--json"]);
    let told = |limit: &str| {
        let all = described["limits"].as_array().unwrap();
        all.iter().find(|one| one["limit"] == limit).unwrap_or_else(|| panic!("{described}")).clone()
    };
    assert_eq!(told("cpu")["value"], "0.1");
    assert!(told("cpu")["enforced_by"].as_str().unwrap().starts_with("cgroup"), "{described}");
    let pid = instance.process("spin")["pid"].clone();
    instance.ok(&["update", "spin", "--limits-cpu", "0.5"]);
    let described = instance.json(&["describe", "spin", "--json"]);
    assert_eq!((&described["limits"][0]["value"], &described["process"]["pid"]), (&"0.5".into(), &pid), "{described}");
    let text = instance.ok(&["describe", "spin"]);
    assert!(text.contains("cpu 0.5 by cgroup"), "{text}");
    let stats = &instance.json(&["stats", "spin", "--json"])[0];
    assert_eq!(stats["cpu_limit"], 0.5, "{stats}");
}

#[test]
fn the_page_of_limits_has_each_of_them_and_configurations_that_are_accepted() {
    for limit in neap::Limit::ALL {
        assert!(PAGE.contains(&format!("| `{limit}` |")), "docs/resource-limits.md lacks {limit}");
    }
    let blocks: Vec<&str> = PAGE.split("```lua\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 2);
    let folder = Folder::new();
    for block in blocks {
        let file = folder.write("neap.lua", block);
        Neap::new(["check", "--strict", "--elsewhere", file.to_str().unwrap()]).start().end().expect_code(0);
    }
}
