local neap = require "neap"
neap.process "web" {
  command = { "sleep", { 5 } },
}
