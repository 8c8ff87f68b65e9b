module neap

go 1.21
