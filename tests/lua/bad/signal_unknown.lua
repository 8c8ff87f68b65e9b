local neap = require "neap"
neap.process "web" { command = { "nginx" }, stop = { signal = "TREM" } }
