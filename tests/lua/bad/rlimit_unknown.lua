local neap = require "neap"
neap.process "web" { command = { "nginx" }, rlimits = { nofiles = 1024 } }
