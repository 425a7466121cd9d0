"""Scores of packs on labelled worlds: who was told in time, and who was told for nothing (docs/alerts.md#labelled-worlds)."""
