local neap = require "neap"
neap.process "web" { command = { "nginx" }, conditions = { path_exist = "/etc" } }
