local neap = require "neap"
local values = neap.yaml(neap.read "secret.txt")
