"""Day profiles that ship: arrivals by hour and class, and the counters that serve them."""
