local neap = require "neap"
neap.process "web" { command = { "nginx" }, umask = 022 }
