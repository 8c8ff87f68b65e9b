local neap = require "neap"
neap.process "web" {
  command = { "nginx", neap.secret { file = "secret.txt" } },
}
