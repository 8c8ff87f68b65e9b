local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  limits = { memory = "512MiB" },
  schedule = "0 3 * * *",
}
