"""Commands of the data: files in, the simulated bank, standings and outlooks out."""
