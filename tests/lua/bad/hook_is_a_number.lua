local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  hooks = { before_start = 5 },
}
