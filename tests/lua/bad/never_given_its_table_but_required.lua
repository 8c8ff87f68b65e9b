local neap = require "neap"
local db = neap.process "db"
neap.process "api" { command = { "api" }, requires = db }
