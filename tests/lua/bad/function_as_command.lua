local neap = require "neap"
neap.process "web" { command = function() return { "nginx" } end }
