local neap = require "neap"

neap.process "mailer" { command = { "mailer" }, after = { require "services.cache" } }
