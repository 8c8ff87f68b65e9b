-- The Datadog Agent's programs as one supervised service:  neap up examples/datadog-agent.lua
--
-- The programs are stand-ins, of dist/datadog-agent/standins: they need python3 alone. Try, from another terminal:
--   curl http://127.0.0.1:8126/info ; curl --unix-socket /tmp/neap-datadog-agent/apm.socket http://apm/info
--   neap signal trace-agent USR1     it is sick: three failed probes, and it is restarted; nobody is refused meanwhile
--   neap start agent-exp             the experiment takes over; when it fails, or with `neap start agent`, back
--   neap stop trace-agent            takes dogstatsd with it
-- docs/datadog-agent.md has the same for the real programs. examples/yaml/datadog-agent.yaml says it in YAML.
local neap = require "neap"

local bin = neap.env("DD_BIN", "../dist/datadog-agent/standins")
local run = neap.env("DD_RUN", "/tmp/neap-datadog-agent")
local user = neap.env "DD_AGENT_USER" -- the sockets' owner; whoever starts this unless given
local port, interval = neap.env("DD_APM_RECEIVER_PORT", "8126"), neap.env("DD_HEALTH_INTERVAL", "10s")

local part = neap.template {
  env_file = "-/etc/datadog-agent/environment",
  restart = { policy = "on-failure", delay = "100ms", max_delay = "10s", limit = { burst = 5, interval = "1m" } },
  limits = { memory = "512MiB", pids = 100 },
}

local agent = part "agent" {
  command = { bin .. "/agent", "run" },
  wants = { "trace-agent", "process-agent", "dogstatsd", "system-probe" },
}
part "process-agent" { command = { bin .. "/process-agent" }, binds_to = agent, follows = agent }

-- Never beside the stable one. What a conflict took down does not come back by itself: that is done when the experiment fails.
local experiment = part "agent-exp" {
  command = { bin .. "/agent", "run", "-c", "/etc/datadog-agent-exp" },
  auto_start = false,
  conflicts = agent, wants = "process-agent-exp",
  restart = "never", hooks = { on_failure = function() agent:start() end },
}
part "process-agent-exp" { command = { bin .. "/process-agent" }, auto_start = false, binds_to = experiment }

-- Its sockets are Neap's, and those of the next run, too: no trace is lost while it is restarted.
local trace = part "trace-agent" {
  command = { bin .. "/trace-agent" }, auto_start = true, restart = { policy = "always" },
  ready = "health", health = neap.http { url = "http://127.0.0.1:" .. port .. "/info", interval = interval, restart_after = 3 },
  listen = {
    neap.listen { name = "apm", tcp = "127.0.0.1:" .. port, fd_env = "DD_APM_NET_RECEIVER_FD" },
    neap.listen { name = "apm-unix", unix = run .. "/apm.socket", fd_env = "DD_APM_UNIX_RECEIVER_FD", mode = "0722", user = user },
  },
}
part "dogstatsd" {
  command = { bin .. "/dogstatsd" }, auto_start = true, binds_to = trace, follows = trace,
  listen = neap.listen { unix_dgram = run .. "/dsd.socket", fd_env = "DD_DOGSTATSD_SOCKET_FD", mode = "0722", user = user },
}

part "system-probe" {
  command = { bin .. "/system-probe" }, before = agent, limits = { memory = "1GiB", cpu = 1.5 },
  env = { DD_SYSTEM_PROBE_SOCKET = run .. "/sysprobe.sock" }, ready = neap.http { url = "unix:" .. run .. "/sysprobe.sock:/debug/stats" },
}
