"""The lifecycle of one customer's standing as pure functions."""
