local neap = require "neap"
local values = neap.json.decode('{ "a": ')
