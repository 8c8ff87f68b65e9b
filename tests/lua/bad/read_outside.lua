local neap = require "neap"
local shadow = neap.read "../../../../etc/shadow"
