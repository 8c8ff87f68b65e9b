local neap = require "neap"
neap.process "web" { "nginx", "-g", "daemon off;" }
