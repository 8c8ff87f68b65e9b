local neap = require "neap"
neap.process "web" { command = { "nginx" }, listen = neap.listen { tcp = "web.local:80" } }
