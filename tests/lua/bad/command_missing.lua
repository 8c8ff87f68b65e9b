local neap = require "neap"
neap.process "web" {
  user = "app",
}
