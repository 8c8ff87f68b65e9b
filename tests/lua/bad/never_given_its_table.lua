local neap = require "neap"
neap.process "web"
neap.process "api" { command = { "api" } }
