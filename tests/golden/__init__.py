"""A small bank's log and changelog as written before, and what must come of them still."""
