"""Tidegauge: exact rolling AUM, tiers, alerts and queue classes from a stream of postings. The composition root."""

__version__ = "0.1.0"
