"""A bank as its operator sees it: what readyz, doctor, metrics and the last line of a process say while things go wrong."""
