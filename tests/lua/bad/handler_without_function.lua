local neap = require "neap"
neap.on("process.failed", "notify")
