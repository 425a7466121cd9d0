"""The Redis views: what they hold, how they are written, and how they are read."""
