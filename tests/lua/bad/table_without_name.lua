local neap = require "neap"
neap.process { command = { "nginx" } }
