local neap = require "neap"
neap.process "cache" {
  command = { "redis-server" },
  ready = neap.tcp { port = 70000 },
}
