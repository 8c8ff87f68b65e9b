local neap = require "neap"
local web = neap.process "web" { command = { "nginx" } }
neap.group "all" { web, 42 }
