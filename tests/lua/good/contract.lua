-- The example that the documentation begins with.
local neap = require "neap"

local cache = neap.process "cache" {
  command = { "redis-server", "--port", "6390" },
  ready   = neap.tcp { port = 6390 },
  stop    = { signal = "TERM", timeout = "10s" },
}

local app = neap.template { requires = cache, user = "app" }

app "web" {
  command = { "nginx", "-c", neap.path "nginx.conf" },
  health  = neap.http { url = "http://127.0.0.1:8080/health", interval = "10s", restart_after = 3 },
  ready   = "health",
  restart = { policy = "on-failure", delay = "500ms", max_delay = "30s", limit = { burst = 5, interval = "5m" } },
  limits  = { oom_score_adj = -100 },
  hooks   = { after_stop = function(p, run) neap.log.info("web ended", { code = run.exit_code }) end },
}

neap.on("process.failed", function(ev) neap.log.error(ev.process .. " failed: " .. ev.reason) end)
