"""Whatever the contracts allow, and whatever bytes come, at everything that reads a topic."""
