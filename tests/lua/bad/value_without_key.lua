local neap = require "neap"
neap.process "web" {
  "nginx",
  user = "app",
}
