local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  start_timeout = { 5 },
}
