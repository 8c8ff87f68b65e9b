local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  restart = "on_failure",
}
