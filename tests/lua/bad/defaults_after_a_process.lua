local neap = require "neap"
neap.process "web" { command = { "nginx" } }
neap.defaults { user = "app" }
