local neap = require "neap"
neap.process(42) { command = { "nginx" } }
