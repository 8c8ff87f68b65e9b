local neap = require "neap"
neap.process "my web" { command = { "nginx" } }
