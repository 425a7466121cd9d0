"""The commands about alerts."""
