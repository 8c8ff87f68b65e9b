local neap = require "neap"
neap.process "web" { command = "sh -c 'echo hello" }
