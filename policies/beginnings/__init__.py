"""Packs to begin with, one a kind of scheme: `tidegauge policy new` writes them."""
