//! Functions as hooks, probes, handlers and timers.

use neap::core::StateName;

use crate::live::Live;

#[test]
fn a_hook_is_called_with_the_handle_and_the_run() {
    let live = Live::new(
        r#"
        neap.process "p" {
          command = { "sh", "-c", "exit 3" }, restart = "never",
          hooks = {
            before_start = function(p, run) say("before " .. p.name .. " " .. run.hook) end,
            after_stop = function(p, run) say("after", { code = run.exit_code }) end,
          },
        }
        "#,
    );
    assert_eq!(live.hears("info: before"), "p before_start");
    assert_eq!(live.hears("info: after"), "code=3");
    live.reaches("p", StateName::Failed);
    live.shut_down();
}

#[test]
fn a_before_start_function_that_returns_false_fails_the_start_with_its_reason() {
    let live = Live::new(
        r#"
        neap.process "p" {
          command = { "sleep", "1000" }, restart = "never",
          hooks = { before_start = function() return false, "the licence has run out" end },
        }
        neap.on("process.failed", function(event) say("failed " .. event.process .. ": " .. event.reason) end)
        "#,
    );
    let reason = live.hears("info: failed p:");
    assert!(reason.contains("the licence has run out"), "{reason}");
    live.shut_down();
}

#[test]
fn a_hook_that_raises_fails_with_file_and_line() {
    let live = Live::new(
        r#"
        neap.process "p" {
          command = { "sleep", "1000" }, restart = "never",
          hooks = { before_start = function() error "no" end },
        }
        neap.on("process.failed", function(event) say("failed " .. event.reason) end)
        "#,
    );
    let reason = live.hears("info: failed");
    assert!(reason.contains("test.lua:4: no"), "{reason}");
    live.shut_down();
}

#[test]
fn a_hook_that_loops_is_cut_at_its_timeout_and_others_go_on() {
    let live = Live::new(
        r#"
        neap.process "loops" {
          command = { "sleep", "1000" }, restart = "never",
          hooks = { before_start = { { "true" }, { fn = function() while true do end end, timeout = "200ms" } } },
        }
        neap.process "other" { command = { "sleep", "1000" } }
        neap.on("process.failed", function(event) say("failed " .. event.process) end)
        neap.on("process.running", function(event) say("running " .. event.process) end)
        "#,
    );
    let mut heard = vec![live.hears("info:"), live.hears("info:")];
    heard.sort();
    assert_eq!(heard, ["failed loops", "running other"]);
    live.shut_down();
}

#[test]
fn a_check_tells_health_and_its_reason_reaches_handlers() {
    let live = Live::new(
        r#"
        local well = true
        neap.process "p" {
          command = { "sleep", "1000" },
          health = neap.check { function(p) return well, p.name .. " is not well" end, interval = "20ms", retries = 1 },
        }
        neap.on("health.healthy", function(event) say("healthy from " .. event.from); well = false end)
        neap.on("health.unhealthy", function(event) say("unhealthy " .. event.reason) end)
        "#,
    );
    assert_eq!(live.hears("info: healthy"), "from starting");
    assert!(live.hears("info: unhealthy").contains("p is not well"));
    live.shut_down();
}

#[test]
fn a_check_that_returns_neither_is_a_failure_that_says_so() {
    let live = Live::new(
        r#"
        neap.process "p" {
          command = { "sleep", "1000" },
          health = neap.check { function() return "fine" end, interval = "20ms", retries = 1 },
        }
        neap.on("health.unhealthy", function(event) say("unhealthy " .. event.reason) end)
        "#,
    );
    assert!(live.hears("info: unhealthy").contains("must return true, or false and a reason"));
    live.shut_down();
}

#[test]
fn a_ready_check_makes_a_process_ready() {
    let live = Live::new(
        r#"
        local asked = 0
        neap.process "p" {
          command = { "sleep", "1000" },
          ready = neap.check { function() asked = asked + 1 return asked == 3, "not yet" end, interval = "10ms" },
        }
        neap.on("process.running", function(event) say("running after " .. asked) end)
        "#,
    );
    assert_eq!(live.hears("info: running after"), "3");
    live.shut_down();
}

#[test]
fn timers_are_called_again_and_again_and_a_failing_one_is_told() {
    let live = Live::new(
        r#"
        local count = 0
        neap.every("10ms", function() count = count + 1 say("tick " .. count) end)
        neap.every("10ms", function() error("timers may fail", 0) end)
        "#,
    );
    assert_eq!(live.hears("info: tick"), "1");
    assert!(live.hears("error: timer of every 10ms failed:").contains("timers may fail"));
    live.shut_down();
}

#[test]
fn a_handler_hears_of_the_plan_itself() {
    let live = Live::new(
        r#"
        neap.process "p" { command = { "sleep", "1000" } }
        neap.on("config.applied", function(event) say("applied " .. event.added) end)
        "#,
    );
    assert_eq!(live.hears("info: applied"), "1");
    live.shut_down();
}
