local neap = require "neap"
local app = neap.template {
  restart = {
    delay = "soon",
  },
}

app "one" {
  command = { "one" },
  restart = { policy = "always" },
}
