local neap = require "neap"

neap.defaults { user = "app" }
shared = neap.template { env = { FROM = "10-defaults" } }
