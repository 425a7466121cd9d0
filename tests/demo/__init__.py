"""The demo and `explain`."""
