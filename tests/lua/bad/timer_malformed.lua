local neap = require "neap"
neap.every("often", function() end)
