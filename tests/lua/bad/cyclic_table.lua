local neap = require "neap"
local options = { command = { "nginx" } }
options.env = options
neap.process "web"(options)
