"""What goes on behind tickets: their steps to the log, changes of class from it, a queue built again from what was logged."""
