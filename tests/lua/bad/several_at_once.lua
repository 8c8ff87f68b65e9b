local neap = require "neap"
neap.process "one" {
  command = { "one" },
  usre = "app",
  stop = { signal = "TREM" },
}

neap.process "two" {
  command = "",
  after = "one",
}

neap.process "three" { }
