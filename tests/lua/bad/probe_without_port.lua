local neap = require "neap"
neap.process "cache" {
  command = { "redis-server" },
  ready = neap.tcp {
    host = "127.0.0.1",
  },
}
