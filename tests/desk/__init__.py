"""The desk's pages: who sees what, and what becomes of an act."""
