"""The queue class of a customer, for kiosks and ticket systems."""
