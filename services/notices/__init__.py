"""Notices to relationship managers: their words, their channels, and when they are sent."""
