local neap = require "neap"
neap.proces "web" { command = { "nginx" } }
