-- Programs that run only while somebody needs them:  neap up examples/sockets.lua
--
-- Neap listens, and starts a program when the first connection is there. Try, from another terminal:
--   curl http://127.0.0.1:18090/
--   curl --unix-socket /tmp/neap-sockets/admin.sock http://admin/
--   python3 -c 'import socket; s = socket.create_connection(("127.0.0.1", 18091)); print(s.recv(100))'
--   neap list; kill -9 the server, and ask again: no connection is refused
-- Needs python3.
local neap = require "neap"

local state = neap.env("SOCKETS_STATE", "/tmp/neap-sockets")

-- Serves HTTP at every listener that it was passed: descriptors from 3 on, LISTEN_FDS of them, named by LISTEN_FDNAMES.
local server = [[
import http.server, os, socket, threading

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = b"hello from process %d, by %s\n" % (os.getpid(), self.server.name.encode())
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_): print("a request by", self.server.name, flush=True)
    def address_string(self): return "somebody"

for place, name in enumerate(os.environ["LISTEN_FDNAMES"].split(":")):
    server = http.server.ThreadingHTTPServer(("", 0), Page, bind_and_activate=False)
    server.socket, server.name = socket.socket(fileno=3 + place), name
    threading.Thread(target=server.serve_forever).start()
]]

neap.process "web" {
  command = { "python3", "-c", server },
  listen = {
    -- Ten minutes without a connection, and it is stopped; the next request starts it again.
    neap.listen { name = "http", tcp = "127.0.0.1:18090", idle_stop = "10m" },
    neap.listen { name = "admin", unix = state .. "/admin.sock", mode = "0600" },
  },
  restart = { policy = "on-failure", delay = "100ms" },
}

-- One instance a connection, ten at a time: descriptor 3 is the connection. What is beyond ten waits for its turn.
neap.process "clock" {
  shell = [[echo "It is $(date +%T), $REMOTE_ADDR." >&3]],
  listen = neap.listen { tcp = "127.0.0.1:18091", accept = 10 },
}
