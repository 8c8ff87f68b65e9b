local neap = require "neap"
local redis = require "redis"
redis(6390)
