local neap = require "neap"
neap.process "migrate" {
  type = "oneshot",
  command = { "migrate" },
  restart = "always",
}
