local neap = require "neap"
local banner = neap.read "no_such_banner.txt"
