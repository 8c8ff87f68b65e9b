local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  stop = {
    signal = "TERM",
    timeout = "10 parsecs",
  },
}
