local neap = require "neap"
neap.process "web" { command = { "nginx" }, health = neap.http "localhost:8080" }
