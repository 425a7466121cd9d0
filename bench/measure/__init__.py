"""Clocks, processes and reports of the benches."""
