local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  listen = neap.listen { tcp = 8080 },
}
neap.process "api" {
  command = { "api" },
  listen = {
    neap.listen { tcp = "0.0.0.0:8080" },
    neap.listen { udp = 8125, accept = true },
    neap.listen { unix = "api.sock", fd_env = "API-FD" },
  },
}
