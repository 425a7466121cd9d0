"""Pages of a branch's queue: what the hall shows, what a counter does, what the lobby sees."""
