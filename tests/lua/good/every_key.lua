-- Every key that does something, in the form that people write most.
local neap = require "neap"

for _, name in ipairs { "a", "b", "c", "d", "e", "f", "g", "h" } do
  neap.process(name) { command = { "sleep", "1000" }, auto_start = false }
end

neap.process "full" {
  description = "everything at once",
  command = "server --listen 'a b'",
  type = "notify",
  auto_start = true,
  critical = true,
  working_dir = "/srv",
  env = { PORT = neap.env "PORT", DEBUG = false, RATIO = 0.5, TOKEN = neap.secret { env = "HOME" } },
  env_file = { "base.env", "-local.env" },
  clear_env = true,
  user = "app",
  group = "app",
  groups = { "adm", "4" },
  umask = "0027",
  nice = -5,
  rlimits = { nofile = 4096, core = { soft = 0, hard = "infinity" } },
  ambient_capabilities = { "net_bind_service" },
  bounding_capabilities = { "CAP_NET_BIND_SERVICE", "chown" },
  no_new_privs = true,
  requires = "a",
  wants = { "b" },
  binds_to = "c",
  follows = "d",
  part_of = "e",
  conflicts = "f",
  after = "g",
  before = "h",
  conditions = { path_exists = { "/etc/passwd", "!/nonexistent", "|/bin" } },
  ready = neap.logline "listening on [0-9]+",
  health = neap.http {
    url = "http://127.0.0.1:8080/health", method = "HEAD", expected_status = { 200, "300-399" },
    headers = { Host = "example" }, interval = 15, timeout = "2s", retries = 5, start_period = "1m", restart_after = 2,
  },
  restart = {
    policy = "on-abnormal", delay = 0.25, factor = 3, max_delay = "1m30s", jitter = 0,
    limit = { burst = 2, interval = "1h" }, reset_after = "5m",
  },
  success_exit_status = { 0, 143, "TERM" },
  stop = { mode = "mixed", sequence = { { "INT", "5s" }, { "TERM", "10s" } } },
  start_timeout = "2m",
  reload = { signal = "HUP" },
  hooks = {
    before_start = { { "mkdir", "-p", "/srv/cache" }, { command = "touch ready", user = "root", timeout = "5s" } },
    after_start = "logger started",
    before_stop = function() end,
    on_failure = { function() end },
  },
  limits = { oom_score_adj = 500 },
  listen = {
    neap.listen { tcp = 8080, name = "http", idle_stop = "5m", backlog = 128, fd_env = "HTTP_FD" },
    neap.listen { unix = "web.sock", mode = "0600", user = "root", group = 0, client_fd_env = "CLIENT_FD" },
    neap.listen { udp = "[::1]:8125" },
    neap.listen { unix_seqpacket = "@control" },
  },
  runtime_directory = "full",
  state_directory = { path = "full", mode = "0700" },
  cache_directory = { "full", { path = "full/more", mode = "0750" } },
  logs_directory = "full",
  pidfile = "/run/full.pid",
  log = { ring = "128KiB", file = "full.log", max_size = "1MiB", keep = 3, stdout = "capture", stderr = "null" },
  watchdog = "30s",
}
