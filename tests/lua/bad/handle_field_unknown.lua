local neap = require "neap"
local web = neap.process "web" { command = { "nginx" } }
web:sotp()
