local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  nice = 99,
  restart = { factor = 0/0, limit = { burst = 1e99 } },
}
