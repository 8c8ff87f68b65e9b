-- Up is not well: how Neap finds out, and what it does.  neap up examples/health.lua
--
-- Try: kill -STOP the pid of cache that `neap list` shows; `neap why cache` says what is wrong, until it is restarted.
-- Or `neap stop cache`: web says that it is not well, and is left alone. Needs redis-server and python3.
local neap = require "neap"

local program = [[
import http.server, os, socket, sys, time

def cache():
    with socket.create_connection(("127.0.0.1", 16395), 1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16) == b"+PONG\r\n"

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try: well = self.path == "/live" or cache()
        except OSError: well = False
        self.send_response(200 if well else 503)
        self.end_headers()
        self.wfile.write(b"all is well\n" if well else b"the cache is not there\n")
    def log_message(self, *_): pass

def say(text):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text, os.environ["NOTIFY_SOCKET"].replace("@", "\0"))

if sys.argv[1] == "web":
    http.server.ThreadingHTTPServer(("127.0.0.1", 18095), Page).serve_forever()
say(b"READY=1")
while True: # Its work would be here: when that hangs, nothing is said, and Neap ends it.
    say(b"WATCHDOG=1")
    time.sleep(int(os.environ["WATCHDOG_USEC"]) / 4e6)
]]

local cache = neap.process "cache" {
  command = { "redis-server", "--port", "16395", "--save", "" },
  ready = neap.tcp { port = 16395, interval = "50ms" },
  health = neap.exec {
    command = { "redis-cli", "-p", "16395", "ping" }, interval = "500ms", timeout = "500ms", restart_after = 3,
  },
  restart = { delay = "100ms" },
}

neap.process "web" {
  command = { "python3", "-c", program, "web" },
  wants = cache, after = cache,
  -- Once, before anybody who requires it is started; and from then on, for as long as it runs.
  ready = neap.http { url = "http://127.0.0.1:18095/live", body = "well" },
  health = neap.http { url = "http://127.0.0.1:18095/", interval = "500ms", retries = 2 },
}

neap.process "worker" { command = { "python3", "-c", program, "worker" }, type = "notify", watchdog = "4s" }

neap.process "shop" {
  command = { "sleep", "infinity" },
  health = neap.check { fn = function() return cache:status().state == "running", "no cache" end, interval = "500ms" },
}

neap.on("health.unhealthy", function(event) neap.log.warn(event.process .. " is not well: " .. event.reason) end)
