local neap = require "neap"
neap.process "web" { command = { "nginx" } }
neap.process "db" { command = { "mysqld" } }
