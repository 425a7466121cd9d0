"""One customer decided from facts given by hand, with reasons."""
