local neap = require "neap"

neap.process "web" {
  command = { "nginx" },
  volatile = true,
}
