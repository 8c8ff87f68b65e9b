local neap = require "neap"
neap.process "db" { command = { "postgres" } }
