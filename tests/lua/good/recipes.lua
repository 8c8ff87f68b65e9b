-- The recipes, with a program folder of their own so that the plan is the same on every machine.
local neap = require "neap"
local nginx, redis = require "nginx", require "redis"

local cache = redis "cache" { port = 6390, settings = { maxmemory = "100mb", appendonly = true } }

require "redis" { data_dir = "/var/lib/other", stop = { timeout = "5s" } }

nginx "web" {
  root = "public",
  requires = cache,
  env = { PATH = "/usr/sbin:/usr/bin" },
  hooks = { before_start = { "true" }, after_start = { "true" } },
}

nginx "own" { config = "conf/nginx.conf", port = 8081, program = "/opt/nginx/sbin/nginx", env = { PATH = "/usr/bin" } }
