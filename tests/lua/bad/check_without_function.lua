local neap = require "neap"
neap.process "web" { command = { "nginx" }, health = neap.check { interval = "5s" } }
