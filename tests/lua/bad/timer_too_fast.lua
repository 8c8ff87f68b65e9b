local neap = require "neap"
neap.every(0, function() end)
