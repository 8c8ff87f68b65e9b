local neap = require "neap"
for _, process in ipairs(neap.list()) do print(process.name) end
