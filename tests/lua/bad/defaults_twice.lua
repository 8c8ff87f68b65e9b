local neap = require "neap"
neap.defaults { user = "app" }
neap.defaults { user = "web" }
