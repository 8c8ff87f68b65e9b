local neap = require "neap"
neap.process "web" {
  command = { "nginx", "\xff\xfe" },
}

neap.process "api" { command = { "api" }, requires = "web" }
