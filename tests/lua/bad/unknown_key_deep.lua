local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  restart = {
    limit = {
      burst = 3,
      intervall = "1m",
    },
  },
}
