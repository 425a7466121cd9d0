"""Tests of `tidegauge explain` over logs in memory."""
