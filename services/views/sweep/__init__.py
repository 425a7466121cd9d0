"""Whether the view holds what the log gave: what it should hold, the walk over its rows, and what is mended."""
