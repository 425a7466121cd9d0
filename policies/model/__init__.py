"""A policy pack as frozen values, and its criteria walked over exact values."""
