local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  stop = {
    sequence = {
      { "INT", "5s" },
      { "TERM" },
    },
  },
}
