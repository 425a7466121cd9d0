"""When notices go out: what is held first, and what waits for a better hour."""
