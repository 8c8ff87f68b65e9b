local neap = require "neap"
local redis = require "redis"

redis "cache" {
  port = 6390,
  helth = "none",
}
