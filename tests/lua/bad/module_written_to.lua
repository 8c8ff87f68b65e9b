local neap = require "neap"
neap.process = nil
