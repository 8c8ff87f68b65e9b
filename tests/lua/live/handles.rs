//! What handles do at run time.

use neap::core::StateName;

use crate::live::Live;

/// A configuration in which `script` runs once `p` is running; `q` does not start by itself.
fn scripted(script: &str) -> Live {
    Live::new(&format!(
        r#"
        local p, q
        q = neap.process "q" {{ command = {{ "sh", "-c", "echo one; echo two; exec sleep 1000" }}, auto_start = false,
          ready = neap.logline "two" }}
        p = neap.process "p" {{ command = {{ "sleep", "1000" }}, reload = {{ signal = "CONT" }} }}
        local done = false
        neap.on("process.running", function(event)
          if event.process ~= "p" or done then return end
          done = true
          {script}
        end)
        "#
    ))
}

#[test]
fn start_waits_until_it_is_ready_and_stop_until_nothing_is_left() {
    let live = scripted(
        r#"
        say("start " .. q:start { timeout = "20s" })
        say("status " .. q:status().state .. " " .. q:status().run_count)
        say("logs " .. table.concat(q:logs(2), ","))
        say("stop " .. q:stop())
        "#,
    );
    assert_eq!(live.hears("info: start"), "running");
    assert_eq!(live.hears("info: status"), "running 1");
    assert_eq!(live.hears("info: logs"), "one,two");
    assert_eq!(live.hears("info: stop"), "stopped");
    live.reaches("q", StateName::Stopped);
    live.shut_down();
}

#[test]
fn restart_signal_reload_and_wait_do_what_they_say() {
    let live = scripted(
        r#"
        local before = q:start() and q:status().pid
        say("restart " .. q:restart() .. " " .. tostring(q:status().pid ~= before))
        q:signal("KILL")
        say("waited " .. q:wait("backoff", "20s").state)
        q:stop()
        p:reload()
        say("reloaded")
        "#,
    );
    assert_eq!(live.hears("info: restart"), "running true");
    assert_eq!(live.hears("info: waited"), "backoff");
    live.hears("info: reloaded");
    live.shut_down();
}

#[test]
fn refusals_and_mistakes_are_errors_that_a_script_can_catch() {
    let live = scripted(
        r#"
        local function told(...) say("told " .. tostring(select(2, pcall(...)))) end
        told(p.signal, p, "TREM")
        told(p.wait, p, "runing")
        told(q.wait, q, "running", "10ms")
        told(q.reload, q)
        told(neap.capture, "true")
        told(neap.fetch, "https://127.0.0.1/")
        told(neap.defaults, {})
        "#,
    );
    assert!(live.hears("info: told").contains("did you mean `TERM`?"));
    assert!(live.hears("info: told").contains("did you mean `running`?"));
    assert!(live.hears("info: told").contains("q:wait \"running\": not within 10ms"));
    assert!(live.hears("info: told").contains("`q`"));
    assert!(live.hears("info: told").contains("comes in a later version"));
    assert!(live.hears("info: told").contains("expected `http://host:port/path`"));
    assert!(live.hears("info: told").contains("cannot be called at run time"));
    live.shut_down();
}

#[test]
fn the_module_lists_gets_and_follows() {
    let live = scripted(
        r#"
        local names = {}
        for _, process in ipairs(neap.list()) do names[#names + 1] = process.name end
        say("list " .. table.concat(names, ","))
        say("get " .. tostring(neap.get "p" == p) .. " " .. tostring(neap.get "nobody"))
        say("print " .. tostring(q))
        local events = neap.events()
        q:start()
        for event in events do
          if event.process == "q" and event.state == "running" then say("event " .. event.from) break end
        end
        "#,
    );
    assert_eq!(live.hears("info: list"), "p,q");
    assert_eq!(live.hears("info: get"), "true nil");
    assert_eq!(live.hears("info: print"), "process `q`: created");
    assert_eq!(live.hears("info: event"), "starting");
    live.shut_down();
}

#[test]
fn an_update_changes_the_declared_spec() {
    let live = scripted(
        r#"
        local updated = q:update { env = { LEVEL = "debug" }, restart = { delay = "7s" } }
        say("fields " .. table.concat(updated.fields, ","))
        say("told " .. tostring(select(2, pcall(q.update, q, { evn = {} }))))
        "#,
    );
    assert_eq!(live.hears("info: fields"), "env.LEVEL,restart.delay");
    assert!(live.hears("info: told").contains("did you mean `env`?"));
    live.shut_down();
}
