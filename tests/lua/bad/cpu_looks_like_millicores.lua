local neap = require "neap"
neap.process "web" { command = { "nginx" }, limits = { cpu = 500 } }
