"""The desk, and the tables that it shows."""
