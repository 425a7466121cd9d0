"""The programs of docs/integrators.md, run as they stand there against real servers."""
