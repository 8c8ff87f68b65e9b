local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  watch = { "nginx.conf" },
  schedule = "0 3 * * *",
}
