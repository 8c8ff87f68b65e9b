local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  health = neap.http {
    url = "http://127.0.0.1:8080/",
    intervall = "10s",
  },
}
