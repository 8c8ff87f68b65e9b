local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  hooks = {
    after_stopped = function() end,
  },
}
