"""Packs compiled to arrays: many customers decided at once."""
