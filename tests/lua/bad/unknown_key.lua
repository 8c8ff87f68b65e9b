local neap = require "neap"
neap.process "web" {
  comand = { "nginx" },
}
