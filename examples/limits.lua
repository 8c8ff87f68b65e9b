-- Limits, and what happens at each of them:  neap up examples/limits.lua
--
-- Needs nothing but a shell. Try, from another terminal:
--   neap status              which limits can be enforced here, and by whom
--   neap describe leak       who sees to those of one process
--   neap stats -f            what they use, and of how much, once a second
--   neap update spin --limits-cpu 0.5 ; neap update leak --limits-memory 64MiB    no restart is needed
local neap = require "neap"

-- What is usual for a service: slowed down at the one, killed at the other, and some room for what it starts.
neap.process "web" {
  shell = "while :; do sleep 1; done",
  limits = { memory = "256MiB", memory_high = "200MiB", cpu = 1.5, pids = 20 },
}

-- Doubles its memory until the kernel kills it ("oom"), is started again three times in a minute, and given up.
neap.process "leak" {
  shell = [[
    echo leaking
    text=0123456789abcdef
    while :; do text=$text$text; done
  ]],
  limits = { memory = "32MiB" },
  restart = { policy = "on-failure", delay = "200ms", limit = { burst = 3, interval = "1m" } },
}

-- Wants six children and may have three, as it counts itself. A shell that cannot fork gives up: exit code 2.
neap.process "swarm" {
  shell = [[
    for child in 1 2 3 4 5 6; do sleep 1000 & done
    wait
  ]],
  limits = { pids = 4 },
  restart = "never",
}

-- Would take a whole core; gets a tenth of one, and less than others where they compete.
neap.process "spin" {
  shell = "while :; do :; done",
  limits = { cpu = "100m", cpu_weight = 50 },
}

-- A function is told when the kernel kills, also when that was a child and the process itself goes on.
neap.on("process.oom", function(event)
  neap.log.warn(event.process .. " had too little memory")
end)
