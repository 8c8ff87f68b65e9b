local neap = require "neap"
neap.process "a" { command = { "a" }, after = "b" }
neap.process "b" { command = { "b" }, requires = "c" }
neap.process "c" { command = { "c" }, after = "a" }
