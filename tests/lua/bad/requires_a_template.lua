local neap = require "neap"
local app = neap.template { user = "app" }
app "web" { command = { "nginx" }, after = app }
