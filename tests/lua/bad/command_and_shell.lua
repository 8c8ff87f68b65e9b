local neap = require "neap"
neap.process "web" { command = { "a" }, shell = "b" }
