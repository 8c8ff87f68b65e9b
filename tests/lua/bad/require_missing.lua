local neap = require "neap"
local helpers = require "no_such_helpers"
