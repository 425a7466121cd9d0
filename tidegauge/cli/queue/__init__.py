"""`tidegauge queue`: the look-up of queue classes, and branches' days."""
