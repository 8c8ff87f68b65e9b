local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  listen = neap.listen { tcp = "127.0.0.1:8080" },
}
