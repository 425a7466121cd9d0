"""Deterministic simulation: the engine's own code over a simulated Kafka, clock and scheduler.

`make simulate SEEDS=2000` runs seeds and prints a table, `make simulate SEED=123` tells the story of one: the same seed
is the same run, step for step. `python -m tests.simulation --mutants` breaks the engine on purpose and says which seed
noticed.
"""
