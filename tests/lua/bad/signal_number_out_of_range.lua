local neap = require "neap"
neap.process "web" { command = { "nginx" }, reload = { signal = 99 } }
