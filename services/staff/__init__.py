"""Who works at the bank: lists from its own directory, and what is kept of them."""
