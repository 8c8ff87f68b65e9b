-- A server that begins with no more rights than it needs:  sudo neap up examples/privileges.lua
--
-- Needs root: only root changes users, and only who has a capability can give it. Anything of this that cannot be had means that the
-- program is not executed, and `neap status web` says what was lacking. Needs python3, and a user `daemon`, which every Debian has.
local neap = require "neap"

local port = neap.env("PRIVILEGES_PORT", "84")

-- Serves one page: what the kernel says of the process itself.
local server = [[
import http.server, sys

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(open("/proc/self/status", "rb").read())
    def log_message(self, *_): pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
]]

neap.process "web" {
  command = { "python3", "-c", server, port },
  -- Its user's groups are those of the user database; here it is in none but its main one.
  user = "daemon",
  groups = {},
  -- A port below 1024, and nothing else that root may: not for what it executes, either.
  ambient_capabilities = { "net_bind_service" },
  bounding_capabilities = { "net_bind_service" },
  no_new_privs = true,
  -- Files that it makes are its own.
  umask = "0077",
  rlimits = { nofile = 1024, core = 0, nproc = { soft = 64, hard = 128 } },
  -- Others go first, for the processor and when memory is short.
  nice = 5,
  limits = { oom_score_adj = 500 },
  health = neap.tcp(tonumber(port)),
  ready = "health",
}

-- A task as another user, with a secret that no view shows. The configuration's user reads the file, not the task's.
neap.process "report" {
  type = "oneshot",
  shell = "test -n \"$TOKEN\" && id -un",
  user = "nobody",
  env = { TOKEN = neap.secret { env = "HOME" } },
  requires = "web",
}
