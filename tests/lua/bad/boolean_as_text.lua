local neap = require "neap"
neap.process "web" { command = { "nginx" }, auto_start = "yes" }
