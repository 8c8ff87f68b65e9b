local neap = require "neap"
neap.on("weather", function(event) end)
