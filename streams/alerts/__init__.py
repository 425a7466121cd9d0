"""Outflow, the lifecycle of an alert, and alerts from the outlook."""
