return "mine"
