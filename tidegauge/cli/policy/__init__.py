"""`tidegauge policy`: check, decide, compare, put into force, try out."""
