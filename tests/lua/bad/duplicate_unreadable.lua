local neap = require "neap"
neap.process "db" { command = "sleep 1", umask = 22 }
neap.process "db" { command = "sleep 1" }
neap.process "web" { command = "sleep 1", requires = "dbb", after = "db" }
