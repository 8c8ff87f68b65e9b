local neap = require "neap"
neap.on("process.faild", function(event) end)
