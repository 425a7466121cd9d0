"""The `world` commands."""
