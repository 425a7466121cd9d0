"""A branch's day of tickets and counters: read from files or drawn from a profile, simulated, and reported."""
