local neap = require "neap"
neap.process "blue" { command = { "a" }, conflicts = "green" }
neap.process "green" { command = { "b" } }
