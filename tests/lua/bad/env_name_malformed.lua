local neap = require "neap"
neap.process "web" { command = { "nginx" }, env = { ["A=B"] = "x" } }
