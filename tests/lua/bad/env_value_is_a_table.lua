local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  env = {
    PORT = 8080,
    HOSTS = { "a", "b" },
  },
}
