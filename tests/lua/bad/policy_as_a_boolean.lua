local neap = require "neap"
neap.process "web" { command = { "nginx" }, restart = true }
