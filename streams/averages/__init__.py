"""Metrics, sums over spans of days, and the outlook."""
