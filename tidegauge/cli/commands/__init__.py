"""The commands about commands."""
