local neap = require "neap"
neap.process "web" {
  command = { "nginx" },
  env = { PASSWORD = neap.secret { env = "NO_SUCH_SECRET" } },
}
