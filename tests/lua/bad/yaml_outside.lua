local neap = require "neap"
local values = neap.yaml "../good/minimal.yaml"
