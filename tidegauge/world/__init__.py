"""The identity of a log: what is written on the topic `world`, what a process finds, and what follows where they differ."""
