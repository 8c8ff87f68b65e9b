local neap = require "neap"

return neap.template { user = "app", restart = { delay = "2s" } }
