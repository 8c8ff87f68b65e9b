-- Needs nothing but a shell:  cargo run --release -- up examples/quickstart.lua
-- Watch the processes come up in order and the worker crash and come back; then press Ctrl-C.
local neap = require "neap"

-- A oneshot runs once. What requires it waits until it has ended with success.
local migrate = neap.process "migrate" {
  type = "oneshot",
  shell = "echo making the tables; sleep 0.3; echo tables made",
}

-- Up, but not ready before it has printed that it listens: only then is the worker started.
local db = neap.process "db" {
  requires = migrate,
  shell = [[
    trap 'echo flushing to disk; exit 0' TERM
    echo recovering; sleep 0.5; echo listening
    while sleep 1; do :; done 2>/dev/null
  ]],
  ready = neap.logline "^listening",
}

-- Crashes after a few jobs, and is brought back. A run of two seconds counts as good: it starts the wait afresh.
neap.process "worker" {
  requires = db,
  shell = [[
    for job in 1 2 3; do echo "job $job"; sleep 1; done
    echo "out of luck" >&2; exit 3
  ]],
  restart = { policy = "on-failure", delay = "500ms", reset_after = "2s" },
}
