local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  restart = {
    policy = "always",
    max_dealy = "30s",
  },
}
