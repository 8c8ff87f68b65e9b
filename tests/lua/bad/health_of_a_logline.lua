local neap = require "neap"
neap.process "web" { command = { "nginx" }, health = neap.logline "ok" }
