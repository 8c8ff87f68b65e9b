-- Three real servers that depend on each other:  neap up examples/stack.lua
--
-- Needs nginx, redis-server and PostgreSQL installed, but none of them set up or running: each keeps its state in a
-- folder of its own and listens on a port that needs no privilege, on loopback. Delete the folder to start afresh.
local neap = require "neap"
local nginx = require "nginx"
local postgres = require "postgres"
local redis = require "redis"

-- Below /tmp because PostgreSQL, which never runs as root, must be able to reach it whoever starts this.
local state = neap.env("STACK_STATE", "/tmp/neap-stack")

-- Keys that every process here starts from.
neap.defaults {
  restart = { delay = "200ms", limit = { burst = 20, interval = "5m" } },
}

-- Both say READY=1 on their notify socket when they take connections; until then nothing that requires them starts.
local cache = redis "redis" {
  port = 16390,
  data_dir = state .. "/redis",
  settings = { maxmemory = "64mb" },
}

local db = postgres "postgres" {
  port = 15433,
  data_dir = state .. "/postgres",
}

-- Starts after both, stops before both. If one of them is stopped by hand, nginx is stopped first.
nginx "nginx" {
  port = 18080,
  data_dir = state .. "/nginx",
  requires = { cache, db },
  health = neap.http { url = "http://127.0.0.1:18080/", interval = "5s", restart_after = 3 },
}

-- What happened can be acted upon: a function for each event of a kind.
neap.on("process.backoff", function(event)
  neap.log.warn(event.process .. " ended and starts again: " .. event.reason)
end)
